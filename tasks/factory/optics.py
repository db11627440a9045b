"""From surface to picture: shading under one light, then lens and sensor."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.factory.styles import PlantStyle
from tasks.factory.surface import Surface


def shaded(surface: Surface, style: PlantStyle) -> NDArray[np.float32]:
    """Linear radiance (H, W, 3): Lambert and Blinn-Phong on the height field's normals."""
    slope_y, slope_x = np.gradient(surface.height)
    inverse = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    azimuth, elevation = np.deg2rad([style.light.azimuth_deg, style.light.elevation_deg])
    light = np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ],
        dtype=np.float32,
    )
    facing = np.clip((light[2] - slope_x * light[0] - slope_y * light[1]) * inverse, 0, None)
    halfway = light + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    mirror = np.clip((halfway[2] - slope_x * halfway[0] - slope_y * halfway[1]) * inverse, 0, 1)
    ambient = style.light.ambient
    diffuse = ambient + (1 - ambient) / light[2] * facing
    highlight = 0.35 * style.light.specular * surface.gloss * mirror**style.light.shininess
    tone = 0.25 + 0.75 * surface.albedo.mean(axis=2)
    return np.asarray(surface.albedo * diffuse[..., None] + (highlight * tone)[..., None])


def photographed(
    radiance: NDArray[np.float32], style: PlantStyle, scale: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The (H, W, 3) uint8 picture: lens, vignette, white balance, tone curve, grain."""
    height, width = radiance.shape[:2]
    camera = style.camera
    image = radiance * np.array(camera.white_balance, np.float32)
    if camera.is_grey:
        image = image.mean(axis=2, keepdims=True)
    blur = camera.blur_px * scale
    image = ndimage.gaussian_filter(image, (blur, blur, 0), truncate=3.0)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    gain = camera.exposure * (1 - camera.vignette * (x**2 + y**2) / 2)
    gain = gain * (1 + np.float32(0.1 * rng.normal()) * x + np.float32(0.1 * rng.normal()) * y)
    image *= gain[..., None]
    image = 1.12 * image / (1 + 0.22 * image)
    image = 255 * np.clip(image, 0, None) ** np.float32(0.8)
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    noise = 0.8 * noise + 1.5 * ndimage.uniform_filter(noise, (3, 3, 1))
    image += np.float32(0.75 * camera.grain) * np.sqrt(0.35 + image / 190) * noise
    picture = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.repeat(picture, 3, axis=2) if camera.is_grey else picture

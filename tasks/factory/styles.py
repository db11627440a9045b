"""Plant styles: the camera, light, plate and bead that make one plant's images look alike."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Rgb = tuple[float, float, float]


class _Style(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Camera(_Style):
    """Optics and sensor."""

    blur_px: float = Field(0.7, ge=0, le=3, description="Lens blur, sigma in px at 256 px")
    grain: float = Field(2.5, ge=0, le=12, description="Sensor noise at mid grey, grey levels")
    vignette: float = Field(0.15, ge=0, le=0.7, description="Light lost in the corners, share")
    exposure: float = Field(1.0, gt=0, le=3, description="Gain before clipping")
    white_balance: Rgb = Field((1.0, 1.0, 1.0), description="Gains of R, G, B")
    is_grey: bool = Field(False, description="A monochrome camera")


class Light(_Style):
    """One key light over ambient light."""

    azimuth_deg: float = Field(300.0, ge=0, le=360, description="Where it comes from, degrees")
    elevation_deg: float = Field(45.0, ge=10, le=85, description="Height over the plate, degrees")
    ambient: float = Field(0.35, ge=0, le=1, description="Share of light from everywhere")
    specular: float = Field(0.6, ge=0, le=2, description="Strength of highlights")
    shininess: float = Field(18.0, ge=2, le=80, description="Sharpness of highlights")


class Plate(_Style):
    """The base metal."""

    colour: Rgb = Field((0.55, 0.55, 0.57), description="Albedo of R, G, B in [0, 1]")
    brushed: float = Field(0.1, ge=0, le=0.4, description="Contrast of brushing")
    brush_deg: float = Field(0.0, ge=-180, le=180, description="Direction of brushing, degrees")
    mottle: float = Field(0.06, ge=0, le=0.4, description="Contrast of mill scale and stains")


class BeadShape(_Style):
    """The weld seam."""

    width_px: float = Field(40.0, ge=10, le=140, description="Width in px at 256 px")
    angle_deg: float = Field(0.0, ge=-90, le=90, description="Mean direction, degrees")
    angle_spread_deg: float = Field(5.0, ge=0, le=45, description="Spread of direction, degrees")
    height: float = Field(0.35, ge=0, le=1, description="Crown height over half width")
    ripple_period_px: float = Field(6.0, ge=3, le=20, description="Ripple spacing, px at 256")
    ripple_depth: float = Field(0.8, ge=0, le=3, description="Ripple relief, px at 256")
    ripple_curve: float = Field(0.7, ge=0, le=2, description="How far ripples bow, half widths")
    wander_px: float = Field(2.0, ge=0, le=20, description="Wander of the centre line, px")
    colour: Rgb = Field((0.5, 0.49, 0.47), description="Albedo of R, G, B in [0, 1]")
    tint: float = Field(0.4, ge=0, le=1, description="Strength of heat tint beside the bead")
    tint_width: float = Field(0.5, ge=0, le=2, description="Width of heat tint, half widths")


class PlantStyle(_Style):
    """One plant: all its images share these, and differ by seed."""

    camera: Camera = Camera()
    light: Light = Light()
    plate: Plate = Plate()
    bead: BeadShape = BeadShape()


DEMO_PLANT = PlantStyle(
    camera=Camera(blur_px=0.6, grain=2.6, vignette=0.18, white_balance=(1.03, 1.0, 0.96)),
    light=Light(azimuth_deg=290, elevation_deg=42, ambient=0.34, specular=0.55, shininess=16),
    plate=Plate(colour=(0.56, 0.55, 0.54), brushed=0.09, brush_deg=3, mottle=0.05),
    bead=BeadShape(
        width_px=38,
        angle_deg=0,
        angle_spread_deg=5,
        ripple_period_px=6.0,
        ripple_depth=0.85,
        ripple_curve=0.75,
        wander_px=2.0,
        colour=(0.50, 0.475, 0.45),
        tint=0.5,
        tint_width=0.55,
    ),
)
OTHER_PLANT = PlantStyle(
    camera=Camera(blur_px=0.9, grain=4.0, vignette=0.3, is_grey=True, exposure=0.9),
    light=Light(azimuth_deg=60, elevation_deg=30, ambient=0.25, specular=1.0, shininess=30),
    plate=Plate(colour=(0.35, 0.35, 0.36), brushed=0.03, brush_deg=80, mottle=0.2),
    bead=BeadShape(
        width_px=33,
        angle_deg=20,
        angle_spread_deg=8,
        ripple_period_px=4.5,
        ripple_depth=0.6,
        ripple_curve=1.2,
        wander_px=2.0,
        colour=(0.42, 0.42, 0.43),
        tint=0.15,
        tint_width=0.4,
    ),
)
HELD_OUT_PLANTS = (DEMO_PLANT, OTHER_PLANT)
HELD_OUT_MARGIN = 0.25


def _coordinates(style: PlantStyle) -> np.ndarray:
    """The style as a vector whose coordinates each span about 1 over all plants."""
    azimuth = np.deg2rad(style.light.azimuth_deg)
    bead, plate, camera, light = style.bead, style.plate, style.camera, style.light
    return np.array(
        [
            np.cos(azimuth) / 2, np.sin(azimuth) / 2,
            light.elevation_deg / 50, light.specular / 1.2,
            *plate.colour, plate.brushed / 0.2, plate.mottle / 0.2,
            bead.width_px / 25, bead.angle_deg / 90, bead.ripple_period_px / 7,
            bead.ripple_depth, bead.ripple_curve, bead.tint, *bead.colour,
            camera.blur_px, camera.grain / 5, float(camera.is_grey),
        ]
    )  # fmt: skip


def style_distance(a: PlantStyle, b: PlantStyle) -> float:
    """Root mean square difference of two styles; 0 for equal ones, about .4 for random ones."""
    return float(np.sqrt(np.mean((_coordinates(a) - _coordinates(b)) ** 2)))


def random_style(rng: np.random.Generator) -> PlantStyle:
    """A plant from a broad range, never near one of HELD_OUT_PLANTS."""
    while True:
        style = _drawn(rng)
        if min(style_distance(style, plant) for plant in HELD_OUT_PLANTS) > HELD_OUT_MARGIN:
            return style


def _drawn(rng: np.random.Generator) -> PlantStyle:
    """One draw, held-out plants included."""
    grey = rng.uniform(0.3, 0.75)
    hue = rng.normal(0, 0.008, 3)
    warmth = rng.normal(0, 0.02)
    plate = np.clip(grey + hue + warmth * np.array([1, 0, -1]), 0.12, 0.9)
    bead = np.clip(plate * rng.uniform(0.7, 1.1) + rng.normal(0, 0.015, 3), 0.12, 0.9)
    balance = np.clip(1 + rng.normal(0, 0.025, 3), 0.92, 1.08)
    return PlantStyle(
        camera=Camera(
            blur_px=rng.uniform(0.35, 1.1), grain=rng.uniform(1.0, 5.0),
            vignette=rng.uniform(0, 0.4), exposure=rng.uniform(0.8, 1.25),
            white_balance=_rgb(balance), is_grey=bool(rng.random() < 0.3),
        ),
        light=Light(
            azimuth_deg=rng.uniform(0, 360), elevation_deg=rng.uniform(25, 65),
            ambient=rng.uniform(0.2, 0.5), specular=rng.uniform(0.1, 1.2),
            shininess=rng.uniform(6, 40),
        ),
        plate=Plate(
            colour=_rgb(plate), brushed=rng.uniform(0.0, 0.18), brush_deg=rng.uniform(-90, 90),
            mottle=rng.uniform(0.0, 0.2),
        ),
        bead=BeadShape(
            width_px=rng.uniform(28, 47),
            angle_deg=float(rng.choice([0, 0, 0, 90, 30, -30])) + rng.uniform(-0.0, 0.0),
            angle_spread_deg=rng.uniform(2, 12), height=rng.uniform(0.2, 0.5),
            ripple_period_px=rng.uniform(4, 9), ripple_depth=rng.uniform(0.4, 1.4),
            ripple_curve=rng.uniform(0.2, 1.3), wander_px=rng.uniform(0, 4), colour=_rgb(bead),
            tint=rng.uniform(0, 0.9), tint_width=rng.uniform(0.2, 1.0),
        ),
    )  # fmt: skip


def _rgb(values: np.ndarray) -> Rgb:
    return float(values[0]), float(values[1]), float(values[2])

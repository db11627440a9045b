"""Scores of a candidate: S_i and D_plaus.

S_i = l1 R_i + (1 - l1) U_i;  D_plaus = a D_CLIP + (1 - a) D_phys  (article 3.3 and 3.6).
R_i = sqrt(t_LBP t_gradient), the geometric mean, so that a texture wholly foreign to one measure
is not redeemed by the other; U_i is a trapezoid of the distance to the nearest other
image, D_CLIP the atypicality of the distance from x' to the real windows it belongs with (KO ones
where there are any), D_phys the mean of three atypicalities: intensities and colour, gradients at
the borders of bead and region, continuity of the defect, with it its staying on the bead. All are
in [0, 1].
"""

import math

from tasks.domain.calibration import Quantiles
from tasks.domain.parameters import ScoreParams

LEAK_LIMIT = 0.05


def realism(lbp_typicality: float, gradient_typicality: float) -> float:
    """R_i in [0, 1]: how coherent the edited zone's texture is with real beads."""
    return math.sqrt(max(lbp_typicality, 0.0) * max(gradient_typicality, 0.0))


def utility(distance: float, real: Quantiles, duplicate_distance: float) -> float:
    """U_i in [0, 1]: novel, but not exotic.

    Args:
        distance: cosine distance to the nearest other image, >= 0.
        real: quantiles of the real images' nearest-neighbour distances.
        duplicate_distance: 1 - max_cosine; at or below it two images are one.

    Returns:
        0 at a duplicate, rising to 1 at real.q50, 1 up to real.q99, falling to 0 at twice that;
        0 for a distance that is not a number.
    """
    if not duplicate_distance < distance < 2 * real.q99:
        return 0.0
    if distance < real.q50:
        return (distance - duplicate_distance) / (real.q50 - duplicate_distance)
    if distance <= real.q99:
        return 1.0
    return (2 * real.q99 - distance) / real.q99


def s_i(realism_score: float, utility_score: float, weight_realism: float) -> float:
    """S_i in [0, 1], higher is better."""
    return weight_realism * realism_score + (1 - weight_realism) * utility_score


def d_phys(
    intensity_typicality: float, edge_typicality: float, continuity_typicality: float
) -> float:
    """D_phys in [0, 1], 0 is physically ordinary: mean atypicality of the three measures."""
    return 1 - (intensity_typicality + edge_typicality + continuity_typicality) / 3


def confinement(inside_share: float) -> float:
    """1 when the whole change lies in the bead, 0 when 5 % or more of it leaks out."""
    return min(1.0, max(0.0, 1.0 - (1.0 - inside_share) / LEAK_LIMIT))


def d_clip(distance: float, company: Quantiles) -> float:
    """D_CLIP in [0, 1], 0 is ordinary: atypicality of the cosine distance to like real windows."""
    return 1 - company.typicality(distance)


def d_plaus(d_clip_score: float, d_phys_score: float, weight_clip: float) -> float:
    """D_plaus in [0, 1], 0 is most plausible."""
    return weight_clip * d_clip_score + (1 - weight_clip) * d_phys_score


def score_reasons(s_i_score: float, realism_score: float, params: ScoreParams) -> tuple[str, ...]:
    """Every reason why the score refuses; none when it accepts (S_i must exceed its threshold)."""
    reasons = []
    if not realism_score >= params.min_realism:
        reasons.append(f"realism {_cut(realism_score)} < {params.min_realism:.2f} (R_i)")
    if not s_i_score > params.min_s_i:
        reasons.append(f"s_i {_cut(s_i_score)} <= {params.min_s_i:.2f} (S_i)")
    return tuple(reasons)


def _cut(value: float) -> str:
    """Two digits, cut downwards so that a refused value never reads as its limit."""
    return f"{math.floor(value * 100) / 100:.2f}" if math.isfinite(value) else str(value)

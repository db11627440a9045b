"""The verdict on an adapted model set: whether it replaces its base, with the reasons in figures.

With real defects to compare with it must lie nearer to them: the 95 % interval of KID_adapted -
KID_base wholly below 0. Without, its placebos must be harder to tell from real zones: that of
AUC_adapted - AUC_base wholly below 0 (superiority shown by a paired interval: ICH E9, 3.3). Either
way it must not reconstruct worse (PSNR's interval wholly below 0), nor copy what it was trained on.
"""

from math import isnan

from pydantic import Field

from tasks.domain.bootstrap import Estimate
from tasks.domain.parameters import Parameters
from tasks.domain.records import Record


class VerdictParams(Parameters):
    """What an adapted set may not exceed."""

    max_memorised: float = Field(
        0.1, ge=0, le=1, description="Share of candidates that may be copies of training windows"
    )


class SetFigures(Record):
    """One model set's figures; AUCs of .5 are best, None was not measured."""

    psnr_db: Estimate
    kid: Estimate | None
    faithfulness: Estimate | None
    real_vs_synthetic_auc: Estimate
    placebo_auc: Estimate
    memorised: Estimate | None


class PairedDifferences(Record):
    """Adapted minus base, on the same draws; kid is None without KO windows."""

    psnr_db: Estimate
    kid: Estimate | None
    real_vs_synthetic_auc: Estimate
    placebo_auc: Estimate


class AdaptationFigures(Record):
    """What an adaptation is judged by."""

    base: SetFigures
    adapted: SetFigures
    difference: PairedDifferences


class AdaptationVerdict(Record):
    """Whether the adapted set replaces its base; every reason for it, or every one against."""

    is_better: bool
    reasons: tuple[str, ...]


def verdict(figures: AdaptationFigures, params: VerdictParams) -> AdaptationVerdict:
    """The verdict; a figure that could not be measured (nan) speaks against.

    Where copies were not looked for (memorised None), the reasons say so and nothing is refused.
    """
    answers = (_likeness(figures), _reconstruction(figures), _memory(figures, params))
    against = tuple(reason for is_fine, reason in answers if not is_fine)
    if against:
        return AdaptationVerdict(is_better=False, reasons=against)
    return AdaptationVerdict(is_better=True, reasons=tuple(reason for _, reason in answers))


def _likeness(figures: AdaptationFigures) -> tuple[bool, str]:
    """Whether its images are shown to be nearer to real ones."""
    change = figures.difference
    if change.kid is not None:
        is_nearer = change.kid.high < 0
        what = "nearer to" if is_nearer else "not shown to be nearer to"
        return is_nearer, f"likeness: {what} real defects, KID {_text(change.kid, 4)} against base"
    is_nearer = change.placebo_auc.high < 0
    what = "harder" if is_nearer else "not shown to be harder"
    return is_nearer, (
        f"likeness: placebos {what} to tell from real zones, AUC {_text(change.placebo_auc, 3)} "
        "against base (no real defects to compare with)"
    )


def _reconstruction(figures: AdaptationFigures) -> tuple[bool, str]:
    """Whether it is not shown to reconstruct real windows worse."""
    change = figures.difference.psnr_db
    is_fine = change.high >= 0
    what = "not shown to be worse" if is_fine else "worse"
    if isnan(change.high):
        what = "unknown"
    return is_fine, f"reconstruction: {what}, PSNR {_text(change, 2)} dB against base"


def _memory(figures: AdaptationFigures, params: VerdictParams) -> tuple[bool, str]:
    """Whether few enough of its candidates are copies."""
    found = figures.adapted.memorised
    if found is None:
        return True, "memory: copies of training windows were not looked for"
    is_fine = found.value <= params.max_memorised
    sign = "<=" if is_fine else ">"
    if isnan(found.value):
        sign = "unknown, at most"
    return is_fine, (
        f"memory: share of copies of training windows {found.value:.3f} ({found.low:.3f} to "
        f"{found.high:.3f}) {sign} {params.max_memorised:.3f}"
    )


def _text(change: Estimate, digits: int) -> str:
    """A signed figure with its interval."""
    if isnan(change.value) or isnan(change.high):
        return "could not be measured"
    value, low, high = (f"{v:+.{digits}f}" for v in (change.value, change.low, change.high))
    return f"{value} ({low} to {high})"

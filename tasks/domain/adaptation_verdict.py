"""The verdict on an adapted model set: whether it replaces its base, with the reasons in figures.

It must be better somewhere and worse nowhere, each shown by a paired 95 % interval (superiority and
non-inferiority: ICH E9, 3.3). Better: KID to real defects or the placebos' AUC wholly below the
base's, or PSNR wholly above. Not worse: KID's interval ends within a margin, a share of the base's
KID (a handful of held-out defects cannot show more); PSNR's does not lie wholly below 0, nor the
placebos' AUC wholly above. And it must not copy what it was trained on.
"""

from collections.abc import Iterator
from math import isnan

from pydantic import Field

from tasks.domain.bootstrap import Estimate
from tasks.domain.parameters import Parameters
from tasks.domain.records import Record

Answer = tuple[bool, bool, str]  # better than the base, not worse, and why


class VerdictParams(Parameters):
    """What an adapted set may not exceed."""

    max_memorised: float = Field(
        0.1, ge=0, le=1, description="Share of candidates that may be copies of training windows"
    )
    max_kid_rise: float = Field(
        0.2, ge=0, description="Rise of KID that counts as not worse, as a share of the base's KID"
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
    answers = [*_compared(figures, params), _memory(figures, params)]
    against = tuple(reason for _, is_fine, reason in answers if not is_fine)
    if not against and not any(is_better for is_better, _, _ in answers):
        against = tuple(reason for _, _, reason in answers)
    if against:
        return AdaptationVerdict(is_better=False, reasons=against)
    return AdaptationVerdict(is_better=True, reasons=tuple(reason for _, _, reason in answers))


def _compared(figures: AdaptationFigures, params: VerdictParams) -> Iterator[Answer]:
    """Likeness to real defects where there are any, reconstruction, and traces of the making."""
    change, base = figures.difference, figures.base.kid
    if change.kid is not None and base is not None:
        margin = params.max_kid_rise * max(base.value, 0.0)
        better, fine = change.kid.high < 0, change.kid.high <= margin
        what = _said(
            ("nearer to", "as near, within the margin, to", "not as near to"), better, fine
        )
        text = f"KID {_text(change.kid, 4)} against base, margin {margin:+.4f}"
        yield better, fine, f"likeness: {what} real defects, {text}"
    better, fine = change.psnr_db.low > 0, change.psnr_db.high >= 0
    what = _said(("better", "not shown to be worse", "worse"), better, fine)
    yield better, fine, f"reconstruction: {what}, PSNR {_text(change.psnr_db, 2)} dB against base"
    better, fine = change.placebo_auc.high < 0, change.placebo_auc.low <= 0
    what = _said(("harder", "not shown to be easier", "easier"), better, fine)
    text = f"AUC {_text(change.placebo_auc, 3)} against base"
    yield better, fine, f"traces: placebos {what} to tell from real zones, {text}"


def _said(words: tuple[str, str, str], is_better: bool, is_fine: bool) -> str:
    """The words for a figure that is better, as good, or neither."""
    return words[0] if is_better else words[1] if is_fine else words[2]


def _memory(figures: AdaptationFigures, params: VerdictParams) -> Answer:
    """Whether few enough of its candidates are copies; this makes no set better."""
    found = figures.adapted.memorised
    if found is None:
        return False, True, "memory: copies of training windows were not looked for"
    is_fine = found.value <= params.max_memorised
    sign = "<=" if is_fine else ">"
    if isnan(found.value):
        sign = "unknown, at most"
    text = f"{found.text(3)} {sign} {params.max_memorised:.3f}"
    return False, is_fine, f"memory: share of copies of training windows {text}"


def _text(change: Estimate, digits: int) -> str:
    """A signed figure with its interval."""
    if isnan(change.value) or isnan(change.high):
        return "could not be measured"
    value, low, high = (f"{v:+.{digits}f}" for v in (change.value, change.low, change.high))
    return f"{value} ({low} to {high})"

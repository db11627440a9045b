"""Promotion: a version becomes champion only if the trial shows that it is not worse.

Non-inferiority (ICH E9, 3.3.2): not worse than another by more than the margin, with the interval:
the lower 95 % bound of the paired difference in recall must be at or above minus the margin.
"""

from tasks.domain.bootstrap import Estimate
from tasks.domain.records import Record


class Promotion(Record):
    """Whether a version may become champion, and why or why not."""

    version: str
    is_due: bool
    reason: str


def promotion(
    version: str,
    share: float,
    against_real: Estimate,
    against_champion: Estimate | None,
    champion: str | None,
    margin: float,
) -> Promotion:
    """The verdict on a version.

    Args:
        version: the version tried.
        share: the share recommended for it; 0 recommends none of it.
        against_real: its gain in recall over the arm `real`.
        against_champion: its gain over the champion; None where there is none, or it is the one.
        champion: the champion's version, for the words.
        margin: recall it may lose.
    """
    if share == 0:
        return Promotion(
            version=version,
            is_due=False,
            reason="held: validation recommends no synthetic images at all",
        )
    for name, gain in (("real", against_real), (f"champion {champion}", against_champion)):
        if gain is not None and not gain.low >= -margin:
            return Promotion(
                version=version,
                is_due=False,
                reason=f"held: recall against {name} {_text(gain)} may be worse by more than "
                f"{margin:.3f}",
            )
    reason = f"recall against real {_text(against_real)}"
    if against_champion is not None:
        reason += f", against champion {champion} {_text(against_champion)}"
    return Promotion(version=version, is_due=True, reason=f"not worse: {reason}")


def _text(gain: Estimate) -> str:
    return f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"

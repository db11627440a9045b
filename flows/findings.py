"""What a check finds: one line each, and whether it is wrong."""

from tasks.domain.records import Record


class Finding(Record):
    """One thing that was looked at."""

    subject: str
    is_wrong: bool
    text: str


def fine(subject: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(subject=subject, is_wrong=False, text=text)


def wrong(subject: str, text: str) -> Finding:
    """It is not; the text says what to do."""
    return Finding(subject=subject, is_wrong=True, text=text)

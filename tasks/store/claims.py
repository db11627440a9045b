"""Claims: a version is whose claim of it was written first, by one atomic write.

A claim names the LanceDB position of every table in the version. Who writes it has won the
version, whatever else happens: its tags are set from the claim, by the writer or, if that one was
killed, by the next. So even a writer that slept past its lease cannot take a version twice, or
half.
"""

from pydantic import ValidationError

from tasks.domain.errors import PoolBroken
from tasks.domain.records import Record
from tasks.store.files import write_once
from tasks.store.remote import contents, place, reaching

FOLDER = "claims"


class Claim(Record):
    """Whose a version is, and where each table stands in it."""

    version: str
    run_id: str
    positions: dict[str, int]


def claim_version(uri: str, claim: Claim) -> bool:
    """Claim a version of the pool at `uri`; False where another claim of it stands."""
    path = place(uri) / FOLDER / f"{claim.version}.json"
    return write_once(path, claim.model_dump_json().encode()) or claim_of(uri, claim.version) == (
        claim
    )


def claim_of(uri: str, version: str) -> Claim | None:
    """Who claimed a version, or None."""
    try:
        with reaching(uri):
            text = contents(place(uri) / FOLDER / f"{version}.json")
        return Claim.model_validate_json(text)
    except FileNotFoundError:
        return None
    except ValidationError as exc:
        raise PoolBroken(
            f"Expected a readable claim of {version} in {uri}, but: {exc}; restore it from a copy"
        ) from exc

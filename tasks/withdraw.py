"""Withdraw: forget a source named by its file or id, and tell what lies beyond the pool's reach."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.domain.errors import BadInput, PoolstarError
from tasks.domain.records import Record
from tasks.domain.tombstone import Tombstone
from tasks.prepare import default_store
from tasks.report import default_report
from tasks.store.archive import Archive
from tasks.store.remote import place, reaching
from tasks.store.trials import Trials


class Withdrawal(Record):
    """What was, or would be, withdrawn, and what remains for a person to delete.

    `remaining` are places that may hold the source's pixels, or pictures made from it; `learned`
    fingerprints of model sets whose weights know it, and `painted` how many images of theirs stay.
    """

    tombstone: Tombstone
    done: bool
    remaining: tuple[str, ...]
    learned: tuple[str, ...]
    painted: int


def withdraw_source(
    pool: str, source: str, *, why: str = "", who: str = "", dry_run: bool = False
) -> Withdrawal:
    """Forget a source.

    Args:
        pool: the pool's folder or s3:// URI.
        source: its file, its sha256, or the first 8 digits of that or more.
        why, who: reason and asker, kept in the tombstone.
        dry_run: only tell what would be withdrawn.

    Raises:
        BadInput: the text names several sources, or a file that cannot be read.
        UnknownVersion: there is no pool, or no such source in it.
        ArchiveError: as `Archive.forget`.
    """
    archive = Archive(pool)
    source_id = archive.source_id(_sha256_or_text(source))
    places = _places(archive, pool, source_id)  # the withdrawal forgets the original's, too
    if dry_run:
        grave = archive.withdrawal(source_id, why=why, who=who)
    else:
        grave = archive.forget(source_id, why=why, who=who)
    learned = sorted({archive.run(run)["model_set_fingerprint"] for run in grave.amended})
    return Withdrawal(
        tombstone=grave,
        done=not dry_run,
        remaining=tuple(one for one in places if _may_remain(one)),
        learned=tuple(learned),
        painted=sum(archive.painted_by(fingerprint) for fingerprint in learned),
    )


def _sha256_or_text(source: str) -> str:
    """The sha256 of a file, or the text where it is none."""
    path = Path(source).expanduser()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else source
    except OSError as exc:
        raise BadInput(f"Expected a readable file {path}, but: {exc.strerror or exc}") from exc


def _places(archive: Archive, pool: str, source_id: str) -> list[str]:
    """Places beyond the pool: the original, intermediate files, reports."""
    runs: list[dict[str, Any]] = [json.loads(text) for text in archive.run_params()]
    runs += [json.loads(trial["params"]) for trial in Trials(pool).rows()]
    places = [default_store(pool), default_report(pool), default_report(pool, "trial.html")]
    places += [run[name] for run in runs for name in ("store", "report") if run.get(name)]
    places += archive.places_of(source_id)
    return list(dict.fromkeys(places))


def _may_remain(uri: str) -> bool:
    """Whether something is there, or cannot be looked at."""
    try:
        with reaching(uri):
            return bool(place(uri).exists())
    except (OSError, PoolstarError):
        return True

"""Verification: every row, run, trial and tag of a pool against what was sealed when it was made.

What can be told: a row's changed kinds of columns against its seal; a lacking or foreign row
against table `seals`; an edit of `seals` against the run's manifest; an edited or lacking run
against the chain of runs; a moved tag against the LanceDB positions that the runs noted. What
cannot: a pool rewritten from its first version on, each seal anew. Against that, note the head (or
a manifest) of a version elsewhere, and compare.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.domain.tombstone import Tombstone
from tasks.store.history import PoolHistory, readable_tombstones
from tasks.store.seals import changed_kinds, manifest_of, seal_of, times_of
from tasks.store.tables import CHAMPION, SEALED, TABLES, version_number
from tasks.store.trials import Trials

Row = dict[str, Any]
Positions = dict[str, dict[str, int]]
POSITIONS = TypeAdapter(Positions)


@dataclass(frozen=True)
class Verification:
    """Whether a version is as it was written; `problems` names every row that is not.

    `notes` says what the version holds less than it did, because it was withdrawn. `head` is the
    digest of the version's run, and through the chain of all runs before it.
    """

    ok: bool
    version: str
    manifest: str
    rows: int
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    head: str = ""


class Verifying(PoolHistory):
    """A pool that can be checked against its seals, in memory for one batch and all seals."""

    def verify(self, version: str | None = None) -> Verification:
        """Recompute every seal and manifest of a version from its bytes.

        Raises:
            PoolBroken: a table cannot be read at all.
            ArchiveError: an older poolstar wrote the pool.
            UnknownVersion: there is no such version.
        """
        version = self._existing(version)
        if lost := tuple(self._lost_tags(version)):
            return Verification(False, version, "", 0, lost)
        history = self._current_runs(self.versions()[-1])
        graves = readable_tombstones(history)
        run = next((row for row in history if row["version"] == version), None)
        problems = [*self._unsettled(), *_chain_problems(history, self.versions(), graves)]
        problems += self._tag_problems(version, history)
        manifest, rows, times = "", 0, dict[str, str]()
        for name in SEALED:
            check = self._check_table(name, version, graves)
            problems += check.problems
            if run is not None and check.manifest != run[f"{name}_manifest"]:
                recorded = str(run[f"{name}_manifest"])[:12]
                problems.append(f"{name}: manifest {check.manifest[:12]}, recorded {recorded}")
            times |= check.times
            if name == "pool":
                manifest, rows = check.manifest, check.rows
        if run is not None and times_of(times) != run["times"]:
            problems.append("seals: the times of making are not as they were written")
        problems += Trials(self.uri).problems()
        head = "" if run is None else hashlib.sha256(str(run["seal"]).encode()).hexdigest()
        notes = tuple(_withdrawal_note(grave) for grave in graves if grave.is_after(version))
        return Verification(not problems, version, manifest, rows, tuple(problems), notes, head)

    def _unsettled(self) -> Iterator[str]:
        """A withdrawal that was killed, said as what it is."""
        if (pending := self._journal()) is not None:
            yield f"the withdrawal of source {pending.source_id} has not ended; run it again"

    def _lost_tags(self, version: str) -> Iterator[str]:
        """Tags without which neither this version nor the history up to now can be read."""
        for name in TABLES:
            for tag in {version, self.versions()[-1]} - {*self._tags(name)}:
                yield f"{name}: the tag {tag} is gone"

    def _tag_problems(self, version: str, history: Sequence[Row]) -> Iterator[str]:
        """Tags of this version and those before it, and of the champion, that have moved."""
        expected = _positions(history)
        champion = Trials(self.uri).champion()
        upto = [row["version"] for row in history]
        upto = upto[: upto.index(version) + 1] if version in upto else upto
        for name in TABLES:
            tags, champions = self._tags(name), self._open(name).tags.list().get(CHAMPION, {})
            for one in upto:
                yield from _moved(name, one, tags.get(one), expected.get(one, {}).get(name))
            due = None if champion is None else expected.get(champion, {}).get(name)
            if champion in upto or (champions and champion is None):
                yield from _moved(name, CHAMPION, champions.get("version"), due)

    def _check_table(self, name: str, version: str, graves: Sequence[Tombstone]) -> "_TableCheck":
        """Read every row of a table once and hold it against its seal."""
        gone = {True: set[str](), False: set[str]()}
        for grave in graves:
            gone[grave.is_after(version)].update(grave.withdrawn.get(name, ()))
        expected = self._standing(name, version, gone[False])
        lacking, problems, rows = set(expected) - gone[True], [], 0
        for record in self._records(name, version):
            rows, key = rows + 1, record["id"]
            if key not in expected:
                problems.append(f"{name}: row {key} was never landed")
            elif key in gone[True]:
                problems.append(f"{name}: row {key} was withdrawn, but still stands here")
            elif key not in lacking:
                problems.append(f"{name}: row {key} stands here twice")
            elif kinds := changed_kinds(seal_of(record), expected[key]):
                problems.append(f"{name}: row {key} is not as it was written ({', '.join(kinds)})")
            lacking.discard(key)
        problems += [f"{name}: row {key} is missing" for key in sorted(lacking)]
        times = {f"{name} {key}": seal for key, seal in expected.items()}
        return _TableCheck(rows, manifest_of(expected), times, problems)


@dataclass(frozen=True)
class _TableCheck:
    """What reading a table has shown; `times` are its seals by table and id."""

    rows: int
    manifest: str
    times: dict[str, str]
    problems: list[str]


def _chain_problems(
    history: Sequence[Row], versions: Sequence[str], graves: Sequence[Tombstone]
) -> Iterator[str]:
    """Runs that are not as they were written, do not follow on each other, or are missing."""
    amended = {run_id: seal for grave in graves for run_id, seal in grave.amended.items()}
    previous = ""
    for row in history:
        name = f"{row['run_id']} ({row['version']})"
        now = seal_of(row)
        if now != amended.get(row["run_id"], row["seal"]):
            kinds = ", ".join(changed_kinds(now, str(row["seal"]))) or "lineage"
            yield f"runs: row {name} is not as it was written ({kinds})"
        if row["previous"] != previous:
            yield f"runs: row {name} does not follow on the row before it; history was rewritten"
        previous = row["seal"]
    there = [row["version"] for row in history]
    for version in sorted({*versions} - {*there}, key=version_number):
        yield f"runs: the row of {version} is missing"
    for version in sorted({*there} - {*versions}, key=version_number):
        yield f"pool: the tag {version} is gone"
    if len(set(there)) < len(there):
        yield "runs: a version stands here twice"


def _moved(name: str, tag: str, now: int | None, due: int | None) -> Iterator[str]:
    """A tag that does not stand where it was set."""
    if now != due:
        where = "is gone" if now is None else f"stands at LanceDB version {now}"
        was = f"it was set at {due}" if due else "nobody is known to have set it"
        yield f"{name}: the tag {tag} {where}, {was}"


def _positions(history: Sequence[Row]) -> Positions:
    """The LanceDB position of each version's tag on each table, as the runs noted it last."""
    found: Positions = {}
    for row in history:
        try:
            found |= POSITIONS.validate_json(row["positions"] or "")
        except ValidationError:
            continue  # the run's seal tells of it
    return found


def _withdrawal_note(grave: Tombstone) -> str:
    """What a version holds less than it did, and since when."""
    counts = ", ".join(f"{len(ids)} of {name}" for name, ids in grave.withdrawn.items() if ids)
    return (
        f"holds less than it did: source {grave.source_id[:12]} was withdrawn by {grave.version} "
        f"on {grave.created_at[:10]}, with it up to {counts or 'no row'}"
        + (f", and its share of {len(grave.amended)} lineages" if grave.amended else "")
    )

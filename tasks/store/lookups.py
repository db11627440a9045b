"""One image, source or run of a pool: found by its name, and what the pool tells of it."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pyarrow.compute as pc

from tasks.domain.errors import BadInput, UnknownVersion
from tasks.store.history import PoolHistory
from tasks.store.lineages import decoded_lineage
from tasks.store.tables import among

SHORTEST_PREFIX = 8


class Lookups(PoolHistory):
    """A pool that can be asked for one thing at a time."""

    def image_id(self, text: str, version: str | None = None) -> str:
        """The id of the one image that a text names: all of its id, or the first 8 digits or more.

        Raises:
            BadInput: it names several.
            UnknownVersion: it names none.
        """
        version = self._existing(version)
        known = {key for name in ("pool", "rejected") for key in self._ids(name, version)}
        graves = [grave for grave in self.tombstones() if grave.names(text)]
        why = f"; it was {graves[0].reason}" if graves else ""
        return one_named(text, known, f"an image of {self.uri} {version}", why)

    def source_id(self, text: str) -> str:
        """The id of the one source that a text names: all of its id, or the first 8 digits or more.

        Sources of lineages and sources already withdrawn count too, and one whose withdrawal was
        killed in the middle.

        Raises:
            BadInput: it names several.
            UnknownVersion: it names none.
        """
        version = self._existing(None)
        known = set(self._ids("sources", version)) | {g.source_id for g in self.tombstones()}
        if (pending := self._journal()) is not None:
            known.add(pending.source_id)
        for row in self._current_runs(version):
            if row["lineage"]:
                sources, _ = self._readable(partial(decoded_lineage, row["lineage"]))
                known |= {one.id for one in sources}
        return one_named(text, known, f"a source of {self.uri}, its file or its sha256")

    def row(self, row_id: str, version: str | None = None) -> dict[str, Any]:
        """All columns of one accepted or rejected image, and in which `table` it stands.

        Raises:
            UnknownVersion: no such row.
        """
        version = self._existing(version)
        for name in ("pool", "rejected"):
            found = self._read(name, version, None, where=pc.field("id") == row_id).to_pylist()
            if found:
                return {"table": name, **found[0]}
        raise UnknownVersion(f"Expected an image of {self.uri} {version}, but got id {row_id!r}")

    def source(self, source_id: str, version: str | None = None) -> dict[str, Any]:
        """id, uri, label and bytes of one real image.

        Raises:
            UnknownVersion: the version does not hold it.
        """
        where = pc.field("id") == source_id
        found = self._read("sources", self._existing(version), None, where=where).to_pylist()
        if not found:
            raise UnknownVersion(f"Expected a source of {self.uri}, but got {source_id!r}")
        return dict(found[0])

    def versions_of(self, row_id: str) -> list[str]:
        """The versions in which an image stands, accepted or rejected, oldest first."""
        where = pc.field("id") == row_id
        return [
            version
            for version in self.versions()
            if any(self._read(n, version, ["id"], where=where) for n in ("pool", "rejected"))
        ]

    def run(self, run_id: str) -> dict[str, Any]:
        """The row of a landed run.

        Raises:
            UnknownVersion: it has not landed here.
        """
        found = self._run(run_id)
        if found is None:
            raise UnknownVersion(f"Expected a run of {self.uri}, but got {run_id!r}")
        return found

    def run_params(self) -> list[str]:
        """The parameters of every run of the pool, as JSON texts, oldest first."""
        return [run["params"] for run in self._current_runs(self._existing(None))]

    def lineage_text(self, fingerprint: str) -> str:
        """The lineage of a model set as the pool keeps it; empty for one that learned nothing."""
        runs = self._current_runs(self._existing(None))
        found = (run["lineage"] for run in runs if run["model_set_fingerprint"] == fingerprint)
        return next(filter(None, found), "")

    def places_of(self, source_id: str) -> list[str]:
        """Where a source was read from; empty when the pool does not hold it."""
        where = pc.field("id") == source_id
        found = self._read("sources", self._existing(None), ["uri"], where=where)
        return list(found["uri"].to_pylist())

    def painted_by(self, fingerprint: str) -> int:
        """How many images of a model set the pool holds, accepted or rejected."""
        version = self._existing(None)
        runs = self._current_runs(version)
        mine = [run["run_id"] for run in runs if run["model_set_fingerprint"] == fingerprint]
        where = among("run_id", mine)
        return sum(
            self._read(name, version, ["run_id"], where=where).num_rows
            for name in ("pool", "rejected")
        )


def one_named(text: str, known: Iterable[str], what: str, why: str = "") -> str:
    """The one id that is `text`, or begins with it where that has 8 digits or more.

    Raises:
        BadInput: there are several, some of which the message names.
        UnknownVersion: there is none; `why` ends the message.
    """
    is_long = len(text) >= SHORTEST_PREFIX
    named = {one for one in known if one == text or (is_long and one.startswith(text))}
    if text in named:
        return text
    if len(named) == 1:
        return named.pop()
    if named:
        some = ", ".join(sorted(named)[:5]) + (", ..." if len(named) > 5 else "")
        raise BadInput(f"Expected {what}, but {text} may be {some}; give more of its digits")
    raise UnknownVersion(
        f"Expected {what}, by the first {SHORTEST_PREFIX} digits of its id or more, but got "
        f"{text!r}{why}"
    )

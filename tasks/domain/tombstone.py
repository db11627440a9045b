"""A tombstone: what a pool keeps of a source withdrawn from it; ids and reasons, no pixel."""

from pydantic import Field

from tasks.domain.records import Record


class Tombstone(Record):
    """A source withdrawn, with all that was made from it.

    `withdrawn` names its rows by table, `amended` the runs whose lineage knew it, each with the
    seal of the run's row without it, and `tags` removed tags that people had set on old positions.
    `version` is the one that the tombstone makes.
    """

    source_id: str
    version: str = Field(pattern=r"^v[1-9][0-9]*$")
    withdrawn: dict[str, tuple[str, ...]]
    amended: dict[str, str] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    created_at: str
    why: str = ""
    who: str = ""

    @property
    def reason(self) -> str:
        """Why an image with the source's bytes is refused from now on."""
        asked = f", asked by {self.who}" if self.who else ""
        why = f": {self.why}" if self.why else ""
        return f"forgotten: withdrawn from the pool on {self.created_at[:10]}{asked}{why}"

    def names(self, row_id: str) -> bool:
        """Whether a row of this id was withdrawn."""
        return any(row_id in ids for ids in self.withdrawn.values())

    def is_after(self, version: str) -> bool:
        """Whether it was set after a version, which therefore holds less than it did."""
        return int(self.version[1:]) > int(version[1:])

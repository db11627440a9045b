"""The plant of an adaptation: its real images, which of them judge, what each kind is called."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.errors import BadInput, BadParameters, ModelSetError
from tasks.domain.holdout import held_out_groups
from tasks.domain.recognition import Recognised
from tasks.domain.records import (
    SOUND,
    Bead,
    Label,
    Record,
    Refusal,
    RunContext,
    Source,
    SourceFile,
    Stage,
)
from tasks.ingest import list_source_files
from tasks.models.model_set import ModelSet, open_model_set
from tasks.prepare import default_store, given_surface
from tasks.store.files import ContentStore

MIN_OK_GROUPS = 5  # four judge distances of sound windows, one at least is held out


class Listed(Record):
    """The files of a plant, the groups that judge, and what was left out."""

    files: tuple[SourceFile, ...]
    groups: dict[str, str]
    held_out: frozenset[str]
    refusals: tuple[Refusal, ...]


class Plant(Record):
    """The usable images of a plant: sources with their beads, and the group of each by id.

    `synthetic` is the generation of those recognised as a pool's own; they never judge.
    """

    sources: tuple[Source, ...]
    beads: tuple[Bead, ...]
    groups: dict[str, str]
    held_out: frozenset[str]
    refusals: tuple[Refusal, ...]
    weak: frozenset[str] = frozenset()
    synthetic: dict[str, int] = {}  # noqa: RUF012

    def part(self, *, judges: bool, label: Label | None = None) -> list[Source]:
        """The sources that judge, or those that are learned from."""
        return [
            one
            for one in self.sources
            if (self.groups[one.id] in self.held_out) == judges and label in {None, one.label}
        ]

    def beads_of(self, sources: Sequence[Source]) -> list[Bead]:
        """The bead of each source."""
        by_id = {bead.source_id: bead for bead in self.beads}
        return [by_id[one.id] for one in sources]

    def kinds(self) -> list[str]:
        """The kinds of defect that can be learned, sorted."""
        return sorted({one.kind for one in self.part(judges=False, label="KO")})

    def counts(self) -> dict[str, tuple[int, int]]:
        """Images to learn from and to judge by, of each kind, sound first."""
        learn, judge = (Counter(s.kind for s in self.part(judges=j)) for j in (False, True))
        return {kind: (learn[kind], judge[kind]) for kind in (SOUND, *self.kinds())}


def prepare_adaptation(params: AdaptParams) -> RunContext:
    """The context of an adaptation, with its base as model set.

    Raises:
        BadParameters: the folder of images or the base is missing, or the new set's stands there
            already.
    """
    if not Path(params.images).expanduser().exists():
        raise BadParameters(
            f"Expected a folder of images or a manifest, but {params.images!r} is not one"
        )
    if Path(params.out).exists():
        raise BadParameters(
            f"Expected a folder that does not exist yet for the new model set, but {params.out} "
            "does; name another, or move it away"
        )
    try:
        base = open_model_set(params.base)
    except ModelSetError as exc:
        raise BadParameters(f"Expected a base to begin with, but: {exc}") from exc
    if base.inpainter.adapter is not None:
        began = "the set it came from" if base.lineage is None else base.lineage.base
        raise BadParameters(
            f"Expected a base without an adapter, but {params.base} has one; adapt {began} again, "
            "with all images"
        )
    uri = params.store or default_store(params.out)
    mask = given_surface(params.segment, params.ingest)
    store = ContentStore(uri)
    return RunContext(
        store_uri=uri,
        store_identity=store.identity,
        models=params.base,
        models_fingerprint=base.fingerprint,
        device=params.device,
        surface_mask=None if mask is None else store.put_mask(mask),
    )


def list_plant(params: AdaptParams) -> Listed:
    """The files to learn from and to judge by; nothing has been read or written yet.

    Raises:
        BadInput: a kind named has no image, a kind has one part only, or there are too few sound
            parts.
        BadParameters: see `list_images`.
    """
    files, refusals = list_source_files(params.images)
    wanted = {one.kind for one in params.kinds}
    found = {file.kind for file in files if file.label == "KO"}
    if missing := sorted(wanted - found):
        raise BadInput(
            f"Expected images of {', '.join(missing)}, but {params.images} has "
            f"{', '.join(sorted(found)) or 'sound images alone'}"
        )
    left_out = [f for f in files if f.label == "KO" and wanted and f.kind not in wanted]
    refusals += [
        Refusal(subject=f.name, stage=Stage.INGEST, reason=f"kind {f.kind} is not among --kind")
        for f in left_out
    ]
    kept = [file for file in files if file not in left_out]
    groups = {file.name: file.group or file.name for file in kept}
    sound = {groups[file.name] for file in kept if file.label == "OK"}
    if len(sound) < MIN_OK_GROUPS:
        raise BadInput(
            f"Expected sound images of {MIN_OK_GROUPS} parts (groups) or more, to learn the "
            f"surface from and to judge by, but got {len(sound)}"
        )
    held_out = held_out_groups(
        ((file.kind, groups[file.name]) for file in kept),
        params.judgement.holdout_share,
        params.run_seed,
    )
    return Listed(files=tuple(kept), groups=groups, held_out=held_out, refusals=tuple(refusals))


def usable_plant(
    listed: Listed,
    ingested: Iterable[Sequence[Source | Refusal]],
    segmented: Iterable[Sequence[Bead | Refusal]],
) -> Plant:
    """The images that were read and have a bead; the same bytes twice count once.

    Raises:
        BadInput: no sound image is left to learn from, or none to judge by.
    """
    beads = {one.source_id: one for part in segmented for one in part if isinstance(one, Bead)}
    found = [one for part in ingested for one in part]
    refusals = [*listed.refusals, *(one for one in found if isinstance(one, Refusal))]
    refusals += [one for part in segmented for one in part if isinstance(one, Refusal)]
    sources = {one.id: one for one in found if isinstance(one, Source) and one.id in beads}
    plant = Plant(
        sources=tuple(sorted(sources.values(), key=lambda one: one.id)),
        beads=tuple(beads[key] for key in sorted(sources)),
        groups={one.id: listed.groups[one.name] for one in sources.values()},
        held_out=listed.held_out,
        refusals=tuple(refusals),
    )
    require_sound(plant)
    return plant


def require_sound(plant: Plant) -> None:
    """Raises BadInput unless sound images can be learned from, and judge."""
    for judges, use in ((False, "learn from"), (True, "judge by")):
        if not plant.part(judges=judges, label="OK"):
            reasons = sorted({refusal.reason for refusal in plant.refusals})[:3]
            raise BadInput(
                f"Expected sound images to {use}, but none is left: " + "; ".join(reasons)
            )


def with_recognised(plant: Plant, found: Iterable[Recognised], params: AdaptParams) -> Plant:
    """The plant without a pool's own images, or with them marked, where that is allowed.

    One whose real source judges is left out in any case: it would show what is held out.

    Raises:
        BadInput: too few of the images left are real, or none is sound.
    """
    by_id = {one.source_id: one for one in found}
    judging = {one.id for one in plant.part(judges=True)}
    allowed = {
        key: one.generation
        for key, one in by_id.items()
        if params.allow_synthetic and one.row_source_id not in judging and key not in judging
    }
    lost = set(by_id) - set(allowed)
    refused = [
        Refusal(
            subject=one.name,
            stage=Stage.INGEST,
            reason=f"synthetic: it is {by_id[one.id].row_id[:12]} of {by_id[one.id].pool}",
        )
        for one in plant.sources
        if one.id in lost
    ]
    left = plant.model_copy(
        update={
            "sources": tuple(one for one in plant.sources if one.id not in lost),
            "beads": tuple(one for one in plant.beads if one.source_id not in lost),
            "refusals": (*plant.refusals, *refused),
            "synthetic": allowed,
        }
    )
    _require_real(left, params)
    require_sound(left)
    return left


def _require_real(plant: Plant, params: AdaptParams) -> None:
    """Raises BadInput where the share of real images falls under the floor."""
    real = len(plant.sources) - len(plant.synthetic)
    if plant.synthetic and real < params.real_floor * len(plant.sources):
        raise BadInput(
            f"Expected real images to be {params.real_floor:.0%} or more of those learned from, "
            f"but {len(plant.synthetic)} of {len(plant.sources)} are a pool's own; add real images "
            "or leave synthetic ones out"
        )


def with_found_defects(plant: Plant, found: Iterable[Sequence[Source | Refusal]]) -> Plant:
    """The plant with the defects found by difference, marked as weak.

    Images where nothing was found are refusals from here on.
    """
    flat = [one for part in found for one in part]
    by_id = {one.id: one for one in flat if isinstance(one, Source)}
    refused = tuple(one for one in flat if isinstance(one, Refusal))
    lost = {one.subject for one in refused}
    kept = [by_id.get(s.id, s) for s in plant.sources if s.name not in lost]
    ids = {one.id for one in kept}
    return plant.model_copy(
        update={
            "sources": tuple(kept),
            "beads": tuple(bead for bead in plant.beads if bead.source_id in ids),
            "refusals": (*plant.refusals, *refused),
            "weak": frozenset(by_id),
        }
    )


def unmarked(plant: Plant) -> list[Source]:
    """The defective sources whose defect is not known yet."""
    return [one for one in plant.sources if one.label == "KO" and one.defect is None]


def words_of(params: AdaptParams, plant: Plant, base: ModelSet) -> dict[str, str]:
    """The words of each kind: those given, else the base's, else made of its name."""
    given = {one.kind: one.prompt for one in params.kinds}
    return {
        kind: given.get(kind) or base.prompts.get(kind) or f"{_spoken(kind)} on the surface"
        for kind in plant.kinds()
    }


def _spoken(kind: str) -> str:
    return " ".join(kind.lower().replace("_", " ").replace("-", " ").split())

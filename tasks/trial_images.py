"""The real images of a trial: read, framed, in their parts, and guarded against leaks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tasks.domain.errors import BadInput
from tasks.domain.leakage import Seen, leaks, require_no_leaks
from tasks.domain.records import Bead, Ref, Refusal, Source, SourceFile, Stage
from tasks.domain.splits import Division
from tasks.domain.trial_parameters import TrialParams
from tasks.domain.trial_records import NO_FOLD, Place, ViewedImage
from tasks.domain.view import Frame, typical_frame
from tasks.store.files import ContentStore


@dataclass
class TrialImages:
    """The real images of a trial, in their parts, ready to be viewed."""

    train: list[ViewedImage]
    test: list[ViewedImage]
    ood: dict[str, list[ViewedImage]]
    refusals: list[Refusal]
    without_bead: int
    dropped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        division: Division,
        ingested: Iterable[Sequence[Source | Refusal]],
        beads: Sequence[Bead],
        frames: Iterable[Sequence[Frame]],
        refused: Sequence[Refusal],
    ) -> "TrialImages":
        """Every image that could be read, framed by its bead or, without one, where beads lie."""
        found = [one for part in ingested for one in part]
        refusals = [*refused, *(one for one in found if isinstance(one, Refusal))]
        sources = {one.name: one for one in found if isinstance(one, Source)}
        framed = dict(
            zip((b.source_id for b in beads), (f for part in frames for f in part), strict=True)
        )
        own = {sources[f.name].id for f in division.train if f.name in sources}
        typical = typical_frame([framed[one] for one in sorted(own) if one in framed])

        def viewed(files: Sequence[SourceFile]) -> list[ViewedImage]:
            distinct: dict[str, ViewedImage] = {}
            for file in files:
                if (source := sources.get(file.name)) is None:
                    continue
                if source.id in distinct:
                    name = distinct[source.id].source.name
                    reason = f"copy: the same bytes as {name}"
                    refusals.append(Refusal(subject=file.name, stage=Stage.INGEST, reason=reason))
                    continue
                distinct[source.id] = ViewedImage(
                    source=source, frame=framed.get(source.id, typical),
                    group=division.groups[file.name],
                    fold=division.fold.get(file.name, NO_FOLD), mask_path=file.mask,
                )  # fmt: skip
            return list(distinct.values())

        names = dict.fromkeys(file.split.removeprefix("ood:") for file in division.ood)
        images = cls(
            train=viewed(division.train),
            test=viewed(division.test),
            ood={
                name: viewed([f for f in division.ood if f.split == f"ood:{name}"])
                for name in names
            },
            refusals=refusals,
            without_bead=sum(1 for source in sources.values() if source.id not in framed),
        )
        images._require_both()
        return images

    def everything(self) -> list[ViewedImage]:
        """All images of all parts."""
        return [*self.train, *self.test, *(one for part in self.ood.values() for one in part)]

    def places(self) -> dict[str, Place]:
        """Group and fold of each training image, by source id."""
        return {one.source.id: Place(group=one.group, fold=one.fold) for one in self.train}

    def without_leaks(
        self,
        structures: Sequence[Ref],
        known: Ref,
        store: ContentStore,
        params: TrialParams,
    ) -> "TrialImages":
        """The images less the test's leaks, where they may be dropped.

        Args:
            structures: fine structure of `everything()`, batch by batch.
            known: `id` and fine structure of the pool's sources.

        Raises:
            BadInput: naming each test image that the pool or the training has seen.
        """
        everything = self.everything()
        fine = np.concatenate([store.get_arrays(ref)["structure"] for ref in structures])
        sources = store.get_arrays(known)
        by_id = {image.source.id: image for image in everything}
        names = {image.source.id: f"{image.source.name} (training)" for image in self.train}
        in_pool = {
            one: f"{by_id[one].source.name if one in by_id else one[:12]} (source of the pool)"
            for one in sources["id"].tolist()
        }
        seen = {**in_pool, **names}
        groups = {by_id[one].group: name for one, name in seen.items() if one in by_id}
        rows = len(self.train)
        test_fine = fine[rows : rows + len(self.test)]
        found = leaks(
            [(image.source.name, image.source.id, image.group) for image in self.test],
            test_fine,
            Seen(
                sources=seen,
                groups=groups,
                names=[*names.values(), *in_pool.values()],
                structure=np.concatenate([fine[:rows], sources["structure"]]),
            ),
            params.split.max_similarity,
        )
        if params.split.leaks == "refuse":
            require_no_leaks(found)
        kept = [image for image in self.test if image.source.name not in found]
        clean = TrialImages(
            self.train, kept, self.ood, self.refusals, self.without_bead, dropped=found
        )
        clean._require_both()
        return clean

    def _require_both(self) -> None:
        """Raise BadInput unless both classes are left in both parts."""
        for part, images in (("training", self.train), ("test", self.test)):
            for label in ("OK", "KO"):
                if not any(image.source.label == label for image in images):
                    raise BadInput(
                        f"Expected readable {label} images in the {part} part, but none is left of "
                        f"{len(images)}; see the refused ones: "
                        + "; ".join(sorted({one.reason for one in self.refusals})[:3])
                    )

"""The real images of a trial: read, framed, in their parts, and guarded against leaks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.domain.errors import BadInput
from tasks.domain.leakage import OF_POOL, TRAINING, Seen, leaks, require_no_leaks
from tasks.domain.records import Bead, Ref, Refusal, Source, SourceFile, Stage
from tasks.domain.splits import Division
from tasks.domain.trial_parameters import TrialParams
from tasks.domain.trial_records import NO_FOLD, Place, ViewedImage
from tasks.domain.view import Frame, typical_frame
from tasks.store.files import ContentStore

Arrays = dict[str, NDArray[Any]]


@dataclass
class TrialImages:
    """The real images of a trial, in their parts, ready to be viewed."""

    train: list[ViewedImage]
    test: list[ViewedImage]
    ood: dict[str, list[ViewedImage]]
    refusals: list[Refusal]
    without_bead: int
    group_of_uri: dict[str, str]
    fold_of_group: dict[str, int]
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
                    fold=division.fold.get(file.name, NO_FOLD),
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
            group_of_uri={
                Path(path).resolve().as_uri(): group
                for path, group in division.group_of_path.items()
            },
            fold_of_group={division.groups[name]: at for name, at in division.fold.items()},
        )
        images._require_both()
        return images

    def everything(self) -> list[ViewedImage]:
        """All images of all parts."""
        return [*self.train, *self.test, *(one for part in self.ood.values() for one in part)]

    def places(self, known: Ref, store: ContentStore) -> dict[str, Place]:
        """Group and fold of the pool's sources, by id, as far as the dataset lists them.

        Args:
            known: `id`, `uri` and `role` of what the pool and its model sets know.
        """
        sources = store.get_arrays(known)
        return {
            one: Place(group=group, fold=self.fold_of_group.get(group, NO_FOLD))
            for one, group, role in zip(
                sources["id"].tolist(), self._groups_of(sources), sources["role"], strict=True
            )
            if group is not None and role == OF_POOL
        }

    def _groups_of(self, sources: Arrays) -> list[str | None]:
        """The group of each source, by its bytes, else by where it lies; None if not listed."""
        by_id = {image.source.id: image.group for image in self.everything()}
        return [
            by_id.get(one) or self.group_of_uri.get(uri)
            for one, uri in zip(sources["id"].tolist(), sources["uri"].tolist(), strict=True)
        ]

    def without_leaks(
        self,
        structures: Sequence[Ref],
        known: Ref,
        store: ContentStore,
        params: TrialParams,
    ) -> "TrialImages":
        """The images less the leaks of test and OOD, where they may be dropped.

        Args:
            structures: fine structure of `everything()`, batch by batch.
            known: what the pool and the model sets know, as `structure_sources` tells it.

        Raises:
            BadInput: naming each held-out image that pool, model set or training has seen.
        """
        fine = np.concatenate([store.get_arrays(ref)["structure"] for ref in structures])
        rows = len(self.train)
        found = leaks(
            [(one.source.name, one.source.id, one.group) for one in self.everything()[rows:]],
            fine[rows:],
            self._seen(store.get_arrays(known), fine[:rows]),
            params.split.max_similarity,
        )
        if params.split.leaks == "refuse":
            require_no_leaks(found)
        kept = [image for image in self.test if image.source.name not in found]
        beyond = {
            name: [image for image in part if image.source.name not in found]
            for name, part in self.ood.items()
        }
        clean = replace(self, test=kept, ood=beyond, dropped=found)
        clean._require_both()
        return clean

    def _seen(self, known: Arrays, trained: NDArray[np.float32]) -> Seen:
        """What was used before the test; an image used twice goes by its first use.

        Args:
            known: what the pool and the model sets know, as `structure_sources` tells it.
            trained: fine structure of the training images.
        """
        listed = {image.source.id: image.source.name for image in self.everything()}
        used: list[tuple[str, str | None, str]] = [
            (one.source.id, one.group, f"{one.source.name} ({TRAINING})") for one in self.train
        ]
        used += [
            (one, group, f"{listed.get(one, name)} ({role})")
            for one, group, name, role in zip(
                known["id"].tolist(), self._groups_of(known), known["name"], known["role"],
                strict=True,
            )
        ]  # fmt: skip
        return Seen(
            sources={one: label for one, _, label in reversed(used)},
            groups={group: label for _, group, label in reversed(used) if group is not None},
            names=[label for _, _, label in used],
            structure=np.concatenate([trained, known["structure"]]),
        )

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

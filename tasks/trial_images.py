"""The real images of a trial: read, framed, in their parts, and guarded against leaks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

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
                    fold=division.fold.get(file.name, NO_FOLD), mask_path=file.mask,
                    mask_modified_ns=Path(file.mask).stat().st_mtime_ns if file.mask else 0,
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
            known: `id` and `uri` of the pool's sources.
        """
        sources = store.get_arrays(known)
        groups = self._groups_of(sources["id"].tolist(), sources["uri"].tolist())
        return {
            one: Place(group=group, fold=self.fold_of_group.get(group, NO_FOLD))
            for one, group in groups.items()
        }

    def _groups_of(self, ids: Sequence[str], uris: Sequence[str]) -> dict[str, str]:
        """The groups of images by id: by their bytes, else by where they lie."""
        by_id = {image.source.id: image.group for image in self.everything()}
        return {
            one: by_id.get(one) or self.group_of_uri[uri]
            for one, uri in zip(ids, uris, strict=True)
            if one in by_id or uri in self.group_of_uri
        }

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
            known: `id` and fine structure of the pool's sources.

        Raises:
            BadInput: naming each held-out image that the pool or the training has seen.
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
        of_pool = self._groups_of(sources["id"].tolist(), sources["uri"].tolist())
        groups = {group: in_pool[one] for one, group in of_pool.items()}
        groups |= {image.group: names[image.source.id] for image in self.train}
        rows = len(self.train)
        held_out = everything[rows:]
        found = leaks(
            [(image.source.name, image.source.id, image.group) for image in held_out],
            fine[rows:],
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
        beyond = {
            name: [image for image in part if image.source.name not in found]
            for name, part in self.ood.items()
        }
        clean = replace(self, test=kept, ood=beyond, dropped=found)
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

"""Paint on parts held out: the same edits by the base and by the adapted set, for comparison."""

from collections.abc import Sequence

from tasks.adapt_plant import Plant
from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.planning import seed_for
from tasks.domain.records import (
    SOUND,
    Edit,
    PlannedEdit,
    Record,
    Ref,
    RegionStrategy,
    content_id,
)
from tasks.models.model_set import ModelSet

STEPS = 25


class Painted(Record):
    """What one set painted: its edits in order, their candidates' images, and their figures."""

    plans: tuple[PlannedEdit, ...]
    images: tuple[Ref, ...]
    measured: tuple[Ref, ...]


def judged_edits(plant: Plant, adapted: ModelSet, params: AdaptParams) -> list[Edit]:
    """Edits of sound parts held out: so many a kind, and placebos, every part as often."""
    sources = plant.part(judges=True, label="OK")
    kinds = plant.kinds()
    wanted = [(kind, params.judgement.edits) for kind in kinds]
    wanted.append((SOUND, params.judgement.placebos))
    region = RegionStrategy.LEARNED if adapted.shapes else RegionStrategy.PATCH
    edits = []
    for kind, count in wanted:
        prompt = adapted.prompts.get(kind, adapted.sound_prompt)
        for index in range(count):
            source = sources[index % len(sources)]
            edits.append(
                Edit(
                    source_id=source.id, kind=kind, prompt=prompt, negative_prompt="",
                    region=region, variant=index // len(sources),
                    seed=seed_for(params.run_seed, source.id, kind, index // len(sources)),
                    strength=adapted.defaults.strength,
                    guidance_scale=adapted.defaults.guidance_scale,
                    steps=STEPS, is_placebo=kind == SOUND,
                )
            )  # fmt: skip
    return edits


def in_words_of(
    plans: Sequence[PlannedEdit], words: dict[str, str], base: ModelSet
) -> list[PlannedEdit]:
    """The same edits for the base: its own words of the kind, or the kind's plain ones."""
    found = []
    for plan in plans:
        plain = base.prompts.get(plan.edit.kind) or words.get(plan.edit.kind, base.sound_prompt)
        edit = plan.edit.model_copy(update={"prompt": plain})
        one = content_id(plan.source.id, plan.region.sha256, edit, base.fingerprint)
        found.append(plan.model_copy(update={"id": one, "edit": edit}))
    return found

"""Judge: every candidate of the run, all rounds together, against the real images and the pool."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.judging import Judgement, judge
from tasks.domain.parameters import RunParams
from tasks.domain.records import Candidate, Ref, RunContext
from tasks.domain.reference import RealReference
from tasks.stage import stage
from tasks.store.files import ContentStore


@stage(version=5, run_name="judge {round_name}")
def judge_run(
    candidates: Sequence[Candidate],
    measured: Sequence[Ref],
    described: Sequence[Ref],
    pool: Ref,
    params: RunParams,
    context: RunContext,
    round_name: str,
) -> Judgement:
    """Verdicts and figures; `pool` holds `ids` and `embeddings` of the version begun with."""
    store = ContentStore(context.store_uri)
    real = RealReference.fit(concatenated(store, described), params.honest.min_ko)
    known = store.get_arrays(pool)
    return judge(
        candidates,
        concatenated(store, measured),
        real,
        known["embeddings"],
        [str(i) for i in known["ids"]],
        params,
    )


def concatenated(store: ContentStore, refs: Sequence[Ref]) -> Mapping[str, NDArray[np.generic]]:
    """The arrays of all batches, row under row."""
    parts = [store.get_arrays(ref) for ref in refs]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

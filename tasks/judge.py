"""Judge: every candidate of the run, all rounds together, against the real images and the pool."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.domain.deduplicate import pool_matches
from tasks.domain.judging import Judgement, judge
from tasks.domain.parameters import RunParams
from tasks.domain.records import Candidate, KnownPool, Ref, RunContext
from tasks.domain.reference import RealReference
from tasks.stage import stage
from tasks.store.archive import Archive
from tasks.store.files import ContentStore


@stage(version=6, run_name="judge {round_name}")
def judge_run(
    candidates: Sequence[Candidate],
    measured: Sequence[Ref],
    described: Sequence[Ref],
    known: KnownPool,
    params: RunParams,
    context: RunContext,
    round_name: str,
) -> Judgement:
    """Verdicts and figures, against the real images and the version of the pool begun with."""
    store = ContentStore(context.store_uri)
    real = RealReference.fit(concatenated(store, described), params.honest.min_ko)
    arrays = concatenated(store, measured)
    pool = pool_matches(
        np.asarray(arrays["embedding"], dtype=np.float32),
        Archive(known.uri).embeddings(known.version),
        params.deduplicate.max_cosine,
    )
    return judge(candidates, arrays, real, pool, params)


def concatenated(store: ContentStore, refs: Sequence[Ref]) -> Mapping[str, NDArray[np.generic]]:
    """The arrays of all batches, row under row."""
    parts = [store.get_arrays(ref) for ref in refs]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

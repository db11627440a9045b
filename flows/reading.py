"""Reading real images, as every run begins: decoded, or refused with a reason, and their beads."""

from collections.abc import Sequence

from prefect import unmapped

from tasks.domain.adapt_parameters import AdaptParams
from tasks.domain.parameters import RunParams
from tasks.domain.records import Bead, Refusal, RunContext, Source, SourceFile
from tasks.domain.rounds import batches
from tasks.domain.trial_parameters import TrialParams
from tasks.grown import Grown
from tasks.ingest import ingest_batch, list_source_files
from tasks.prepare import forgotten_sources
from tasks.segment import segment_batch

ReadingParams = RunParams | TrialParams | AdaptParams


def read_files(
    files: Sequence[SourceFile], pools: Sequence[str], params: ReadingParams, context: RunContext
) -> list[list[Source | Refusal]]:
    """Sources or refusals, batch by batch; what one of the pools was made to forget is refused."""
    return ingest_batch.map(
        batches(files, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.ingest),
        forgotten=unmapped(forgotten_sources(pools)),
    ).result()


def find_beads(
    sources: Sequence[Source], params: ReadingParams, context: RunContext
) -> list[list[Bead | Refusal]]:
    """The bead of each source, or why it has none, batch by batch."""
    return segment_batch.map(
        batches(sources, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.segment),
    ).result()


def read_sources(params: RunParams, context: RunContext) -> Grown:
    """Images in, sources with beads out; everything refused is kept with its reason."""
    files, refused = list_source_files(params.images)
    grown = Grown.of_ingested(files, refused, read_files(files, [params.pool], params, context))
    return grown.with_beads(find_beads(grown.sources, params, context))

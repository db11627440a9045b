"""Reading real images, as every run that ends in a version begins."""

from prefect import unmapped

from tasks.domain.parameters import RunParams
from tasks.domain.records import RunContext
from tasks.domain.rounds import batches
from tasks.grown import Grown
from tasks.ingest import ingest_batch, list_source_files
from tasks.prepare import forgotten_sources
from tasks.segment import segment_batch


def read_sources(params: RunParams, context: RunContext) -> Grown:
    """Images in, sources with beads out; everything refused is kept with its reason."""
    files, refused = list_source_files(params.images)
    ingested = ingest_batch.map(
        batches(files, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.ingest),
        forgotten=unmapped(forgotten_sources(params.pool)),
    ).result()
    grown = Grown.of_ingested(files, refused, ingested)
    segmented = segment_batch.map(
        batches(grown.sources, params.batch_size),
        context=unmapped(context),
        params=unmapped(params.segment),
    ).result()
    return grown.with_beads(segmented)

"""Makes exports of the API in this process."""

import uuid

from sqlalchemy import Engine

from producer.export_jobs import make_export
from storage.export_jobs import claim_export, finish_export
from storage.settings import Settings


def make_here(engine: Engine, settings: Settings) -> uuid.UUID:
    """Make the next export; return its id."""
    export = claim_export(engine)
    assert export is not None, "no export waits"
    make_export(engine, settings, export)
    finish_export(engine, export)
    return export.id

"""Verdicts in export order: oldest first, up to a time before which no new ones will appear."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Engine, text

from starlight_vocabulary.verdict import Verdict
from storage.database import connect_to_read
from storage.verdict_search import Position, VerdictFilter
from storage.verdicts import PAGE, SELECT_VERDICTS, read_verdict

# A verdict's time is the start of its transaction, so verdicts from before now may still be committed.
READ_SETTLED = text("""
    SELECT least(now(), min(xact_start)) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
""")


def read_settled_time(engine: Engine) -> datetime:
    """Return the latest time before which no verdict will be stored any more."""
    with connect_to_read(engine) as connection:
        settled: datetime = connection.execute(READ_SETTLED).scalar_one()
    return settled


# One page of an export. The first condition on the position follows from the second, and lets the index be used.
LIST_OLDEST = SELECT_VERDICTS + " WHERE {conditions} ORDER BY scanned_at, verdicts.job_id, ordinal LIMIT :limit"
BEHIND = """
    scanned_at >= :after_scanned_at
    AND (scanned_at, verdicts.job_id, ordinal) > (:after_scanned_at, :after_job_id, :after_ordinal)
"""


def list_oldest_first(
    engine: Engine, wanted: VerdictFilter, after: Position | None = None, page_size: int = PAGE
) -> Iterator[list[Verdict]]:
    """Yield verdicts ordered by time, in lists of at most `page_size`, starting after the position `after`.

    They are read page by page: memory is constant, and a slow reader holds no connection.
    """
    while page := _read_page(engine, wanted, after, page_size):
        yield page
        if len(page) < page_size:
            return
        after = Position.of(page[-1])


def settle(engine: Engine, wanted: VerdictFilter) -> VerdictFilter:
    """Return the filter with an end before which everything is stored, so that its result does not change."""
    settled = read_settled_time(engine)
    return replace(wanted, until=min(settled, wanted.until) if wanted.until else settled)


def _read_page(engine: Engine, wanted: VerdictFilter, after: Position | None, page_size: int) -> list[Verdict]:
    conditions, parameters = wanted.conditions()
    if after is not None:
        conditions += f" AND {BEHIND}"
        parameters |= {f"after_{name}": value for name, value in after._asdict().items()}
    query = text(LIST_OLDEST.format(conditions=conditions))
    with connect_to_read(engine) as connection:
        rows = connection.execute(query, {**parameters, "limit": page_size}).mappings()
        return [read_verdict(row) for row in rows]

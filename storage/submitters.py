"""Names of submitters that filters use."""

from sqlalchemy import Engine, text

from storage.database import connect_to_read
from storage.settings import CANARY_SUBMITTER

# A message names at most this many submitters.
NAMED = 20


class UnknownSubmitterError(ValueError):
    """No job and no API key has this submitter; the message names some that exist."""


# Whether a job or an API key, also a revoked one, has this name. The index of idempotency keys begins with it.
IS_KNOWN = text("""
    SELECT EXISTS (SELECT FROM jobs WHERE submitter = :name) OR EXISTS (SELECT FROM api_keys WHERE name = :name)
""")

# The first submitters of jobs in alphabetical order, except of canaries: one look into the index for each name.
LIST_FIRST = text("""
    WITH RECURSIVE found (name) AS (
        (SELECT submitter FROM jobs ORDER BY submitter LIMIT 1)
        UNION ALL
        SELECT (SELECT submitter FROM jobs WHERE submitter > found.name ORDER BY submitter LIMIT 1)
        FROM found WHERE found.name IS NOT NULL
    )
    SELECT name FROM found WHERE name <> :canary LIMIT :most
""")


def is_known_submitter(engine: Engine, name: str) -> bool:
    """Whether a job or an API key has this submitter; a key that was revoked counts too."""
    with connect_to_read(engine) as connection:
        return bool(connection.execute(IS_KNOWN, {"name": name}).scalar_one())


def check_submitter(engine: Engine, wanted: str) -> None:
    """Raise UnknownSubmitterError if no job and no API key has this submitter."""
    if is_known_submitter(engine, wanted):
        return
    with connect_to_read(engine) as connection:
        names = list(connection.execute(LIST_FIRST, {"most": NAMED + 1, "canary": CANARY_SUBMITTER}).scalars())
    more = ", …" if len(names) > NAMED else ""
    what_to_do = f"use one of {', '.join(names[:NAMED])}{more}" if names else "nobody has submitted a job yet"
    raise UnknownSubmitterError(f"there is no submitter {wanted!r}: {what_to_do}")

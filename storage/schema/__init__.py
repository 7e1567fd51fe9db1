"""The tables. PostgreSQL is the source of truth: what is not here did not happen.

Job states: `pending` → `running` → `done`, or `cancelled` from either.
Chunk states: `pending` → `dispatched` → `running` → `done`; a lost chunk goes back to `pending`,
a cancelled one ends as `cancelled`, one that keeps killing workers is replaced by chunks of one image.

Queries are raw SQL beside the functions that run them; a test compares the migrations with these definitions.
"""

from storage.schema import access, images, installation, results, sources, work
from storage.schema.columns import METADATA

__all__ = ["METADATA", "access", "images", "installation", "results", "sources", "work"]

"""Plans of the statements that a function runs, explained with their own parameters."""

from collections.abc import Callable, Iterator
from typing import Any

from psycopg import Cursor
from sqlalchemy import Connection, Engine, event

from tests.kit.filled_database import Filled

# A function that queries, and indexes that its plans must use.
Query = tuple[Callable[[Filled], object], set[str]]


def take_back(connection: Connection) -> None:
    """Roll back what a function stored, just before its commit."""
    connection.connection.rollback()


def explain_queries(engine: Engine, run: Callable[[], object]) -> list[dict[str, Any]]:
    """Return the nodes of the plans of all statements that the call runs, explained with their own parameters."""
    nodes: list[dict[str, Any]] = []

    def explain(_: Connection, cursor: "Cursor[Any]", statement: str, parameters: Any, *_more: object) -> None:
        if not statement.startswith(("NOTIFY", "SET")):
            ((plans,),) = cursor.connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            nodes.extend(list_nodes(plans[0]["Plan"]))

    event.listen(engine, "before_cursor_execute", explain)
    try:
        run()
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    return nodes


def list_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what the plan consists of, each node without those below it."""
    yield {key: value for key, value in plan.items() if key != "Plans"}
    for below in plan.get("Plans", ()):
        yield from list_nodes(below)

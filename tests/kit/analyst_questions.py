"""docs/analysts.md as data: the columns that it explains, and its queries."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "analysts.md"
# A query is indented below the heading with its question.
QUESTION = re.compile(r"^### (\d+)\. .*\n\n((?:    .*\n)+)", re.MULTILINE)
VIEW = re.compile(r"^### (\w+)$(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
COLUMN = re.compile(r"^\| `(\w+)` \| ([\w ]+) \|", re.MULTILINE)
VARIABLE = re.compile(r":'(\w+)'")


def read_columns() -> dict[str, list[tuple[str, str]]]:
    """Return the name and type of each column that the page explains, by view."""
    return {name: COLUMN.findall(section) for name, section in VIEW.findall(PAGE.read_text(encoding="utf-8"))}


def read_questions() -> dict[int, str]:
    """Return the queries by number; psql's variables are parameters of psycopg in them."""
    found = QUESTION.findall(PAGE.read_text(encoding="utf-8"))
    return {int(number): VARIABLE.sub(r"%(\1)s", query) for number, query in found}

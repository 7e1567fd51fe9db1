"""docs/asvs.md and docs/attacks.md are complete, and the files and tests that they name exist."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASVS = (ROOT / "docs" / "asvs.md").read_text(encoding="utf-8")
ATTACKS = (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
# Requirements of levels 1 and 2 in ASVS 5.0.0, by chapter.
REQUIREMENTS = {
    1: 27, 2: 11, 3: 19, 4: 10, 5: 9, 6: 35, 7: 18, 8: 7, 9: 7, 10: 29,
    11: 14, 12: 9, 13: 13, 14: 9, 15: 13, 16: 16, 17: 7,
}  # fmt: skip
# Folders of modules that are named without one.
FOLDERS = ("tests/attacks", "tests/integration/api", "client", ".")
FILE = re.compile(r"`([\w./-]+\.(?:py|md|toml))(?:::(\w+))?`")


def list_rows(page: str) -> Iterator[list[str]]:
    """Yield the cells of each row of a table."""
    for line in page.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def find_file(name: str) -> Path:
    """Return the file with this name; fails if there is none."""
    found = [path for folder in FOLDERS if (path := ROOT / folder / name).is_file()]
    assert found, f"{name} is not there"
    return found[0]


def test_each_requirement_stands_once_with_its_status() -> None:
    rows = [row for row in list_rows(ASVS) if row[0].startswith("V")]
    ids = [each for row in rows for each in row[0].split(", ")]

    assert [each for each, count in Counter(ids).items() if count > 1] == []
    assert all(re.fullmatch(r"V\d+\.\d+\.\d+", each) for each in ids)
    assert Counter(int(each[1:].partition(".")[0]) for each in ids) == REQUIREMENTS
    assert {row[3] for row in rows} == {"met", "n/a", "open"}
    assert {len(row) for row in rows} == {5}
    assert all(row[4] for row in rows)


@pytest.mark.parametrize("page", [ASVS, ATTACKS], ids=["asvs", "attacks"])
def test_what_a_page_names_is_there(page: str) -> None:
    named = FILE.findall(page)

    assert named
    for name, function in named:
        text = find_file(name).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, f"{name}::{function}"


def test_every_module_of_attacks_has_a_row_and_every_row_names_its_test() -> None:
    rows = [row for row in list_rows(ATTACKS) if len(row) == 5 and row[0] != "attack"]
    named = {name for row in rows for name, _ in FILE.findall(row[4])}
    modules = {path.name for path in (ROOT / "tests" / "attacks").glob("test_*.py")}

    assert modules - named == set()
    assert "tests/integration/api/test_attacks.py" in named
    assert all(FILE.search(row[4]) for row in rows)

"""Quoted figures in pages match the results."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from research.quoted_figures import QUOTES, Results, correct_page, correct_pages, find_figures, read_quotes

ROOT = Path(__file__).parents[2]
READINESS = "docs/V4_PRODUCTION_READINESS.md"
NUMBER = r"(?<![\w.,])\d+(?:[.,]\d+)*"
LIMITS = {"1,000", "0.07", "2", "99", "99.9"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository folder with one result."""
    (tmp_path / "results").mkdir()
    result = {
        "speed": 138718,
        "share": 0.00036,
        "names": {"lsb.rgb, 5%": [{"of": 27883}]},
        "model": "1.3.0",
        "yes": True,
    }
    (tmp_path / "results" / "bench.json").write_text(json.dumps(result))
    (tmp_path / "docs").mkdir()
    return tmp_path


def test_every_quoted_figure_is_that_of_its_result() -> None:
    assert list(correct_pages(ROOT, write=False)) == [], "scripts/fix writes figures anew from the results"


def test_each_number_of_the_first_screen_is_quoted() -> None:
    """Except the versions of Python, which are those that the project declares."""
    first = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    pieces, results = read_quotes(ROOT)["README.md"], Results(ROOT)
    whole = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = {each.start for piece in pieces for each in find_figures(whole, piece, results)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = {each.rpartition(" ")[2] for each in project["classifiers"] if each.startswith("Programming Language")}
    numbers = list(re.finditer(NUMBER, first))

    assert quoted & {each.start() for each in numbers}
    assert [each[0] for each in numbers if each.start() not in quoted and each[0] not in pythons] == []


def test_each_figure_of_the_readiness_page_is_quoted() -> None:
    """Except the limits of criteria, and the numbers of requests, which docs/deploy.md contains."""
    page = (ROOT / READINESS).read_text(encoding="utf-8")
    start, end = page.index("| criterion |"), page.index("## Go, or not")
    results = Results(ROOT)
    quoted = {each.start for piece in read_quotes(ROOT)[READINESS] for each in find_figures(page, piece, results)}
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", lambda code: " " * len(code[0]), page)
    numbers = [each for each in re.finditer(NUMBER, text) if start <= each.start() < end and each.start() not in quoted]

    told = re.search(r"None of ([\d,]+) requests failed", (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8"))
    assert told is not None
    assert f"none of {told[1]} requests failed meanwhile" in page
    assert sorted({each[0] for each in numbers} - LIMITS - {told[1]}) == []


def test_figures_are_derived_from_a_table(root: Path) -> None:
    (root / "results" / "bench.json").write_text(
        json.dumps({"faults": {"api": 2, "redis": 3}, "disk": {"a": 1_600_000}})
    )
    pieces = ["{bench[faults].total} faults of {bench[faults].size} kinds, {bench[disk].megabytes[a]} MB"]

    assert correct_page("1 faults of 1 kinds, 1 MB", pieces, Results(root))[0] == "5 faults of 2 kinds, 2 MB"


def test_a_wrong_figure_is_named_and_mended(root: Path) -> None:
    page = root / "page.md"
    page.write_text("One **99 images\na minute**, 5 of 7 = 0.1 % with 1.2.0, 99 others.\n")
    (root / QUOTES).write_text(
        '"page.md" = [\n'
        '    "**{bench[speed]:,} images a minute**",\n'
        '    "of {bench[names][lsb.rgb, 5%][0][of]:,} = {bench[share]:.3%} % with {bench[model]},",\n'
        "]\n"
    )
    wrong = [
        "line 1: 99 should be 138,718",
        "line 2: 7 should be 27,883",
        "line 2: 0.1 should be 0.036",
        "line 2: 1.2.0 should be 1.3.0",
    ]

    assert list(correct_pages(root, write=True)) == [f"page.md, {each}" for each in wrong]
    assert page.read_text() == "One **138,718 images\na minute**, 5 of 27,883 = 0.036 % with 1.3.0, 99 others.\n"
    assert list(correct_pages(root, write=True)) == []


@pytest.mark.parametrize(
    ("piece", "fault"),
    [
        ("fast: {bench[speed]:,} a minute", "occurs 0 times, not once"),
        ("{bench[speed]:,} images", "occurs 3 times, not once"),
        ("{bench[size]} images a", "quotes bench[size], but the result has no 'size'"),
        ("{bench[names]} images a", "quotes bench[names], which is not a figure"),
        ("{bench[yes]} images a", "quotes bench[yes], which is not a figure"),
        ("{none[speed]} images a", "there is no results/none.json"),
        ("images a minute", "quotes nothing"),
    ],
)
def test_what_cannot_be_compared_is_named(root: Path, piece: str, fault: str) -> None:
    text = "138,718 images a minute, 1,138,718 images an hour, 12 images."

    assert correct_page(text, [piece], Results(root)) == (text, [], [f"`{piece}` {fault}"])

"""Updates the figures that pages quote from the results: `python -m research.quoted_figures`.

`docs/quoted-figures.toml` lists pieces of text for each page, in which each figure is a field in Python's format
syntax: `{bench[images_per_minute]:,}` is `images_per_minute` of `results/bench.json` with commas; `{…:.3%}` is a
percentage without its sign, which the page's text has. `{chaos[faults].total}` is the sum of an object's numbers,
`.size` the number of its keys, and `{soak[disk].megabytes[first]}` one of its numbers of bytes in MB. A piece must
occur in its page exactly once; line breaks in it do not matter.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Final

QUOTES: Final = "docs/quoted-figures.toml"
# Sources outside results/.
_ELSEWHERE: Final = {"card": "worker/v4/models/starlight-v4/card.json"}
_NUMBER: Final = r"(?<![\d.,])(-?\d+(?:,\d{3})*(?:\.\d+)?)(?!\d|[.,]\d)"
_WORD: Final = r"([^\s|]+)"
_PERCENT: Final = "%"


class QuoteError(Exception):
    """A quotation that cannot be compared: its text is not in the page, or its figure is not in the result."""


@dataclass(frozen=True)
class Figure:
    """A figure in a page: its text from `start` to `end`, and the text that the result gives."""

    start: int
    end: int
    actual: str
    expected: str


class Table(dict[str, Any]):
    """An object of a result, with figures that are derived from its values."""

    def __missing__(self, key: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        # Fields in format syntax cannot tell the key "0" from the index 0.
        if isinstance(key, int) and str(key) in self:
            return self[str(key)]
        raise KeyError(key)

    @property
    def total(self) -> float:
        """The sum of the values."""
        total: float = sum(self.values())
        return total

    @property
    def size(self) -> int:
        """The number of keys."""
        return len(self)

    @property
    def megabytes(self) -> dict[str, int]:
        """The values, which are in bytes, in whole megabytes."""
        return {key: round(value / 1e6) for key, value in self.items()}


class Results(dict[str, Any]):
    """The results below `root` by the names of their files; each file is read on first access."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        path = self._root / _ELSEWHERE.get(name, f"results/{name}.json")
        try:
            self[name] = json.loads(path.read_bytes(), object_hook=Table)
        except FileNotFoundError:
            raise QuoteError(f"there is no {path.relative_to(self._root)}") from None
        return self[name]


def read_quotes(root: Path) -> dict[str, list[str]]:
    """Return the quoted pieces of text for each page."""
    return tomllib.loads((root / QUOTES).read_text(encoding="utf-8"))


def find_figures(text: str, piece: str, results: Results) -> list[Figure]:
    """Return the figures of a piece in the text of a page; raises QuoteError unless the piece occurs exactly once."""
    pattern, expected = _compile(piece, results)
    found = list(pattern.finditer(text))
    if len(found) != 1:
        raise QuoteError(f"occurs {len(found)} times, not once")
    (match,) = found
    return [Figure(*match.span(group), match[group], each) for group, each in enumerate(expected, 1)]


def correct_page(text: str, pieces: list[str], results: Results) -> tuple[str, list[str], list[str]]:
    """Return the corrected text, the changes, and the pieces that could not be compared."""
    figures: set[Figure] = set()
    faults = []
    for piece in pieces:
        try:
            figures.update(find_figures(text, piece, results))
        except QuoteError as error:
            faults.append(f"`{piece}` {error}")
    changes = []
    for figure in sorted(figures, key=lambda each: each.start, reverse=True):
        if figure.actual != figure.expected:
            line = text.count("\n", 0, figure.start) + 1
            changes.append(f"line {line}: {figure.actual} should be {figure.expected}")
            text = text[: figure.start] + figure.expected + text[figure.end :]
    return text, changes[::-1], faults


def correct_pages(root: Path, *, write: bool) -> Iterator[str]:
    """Yield what is wrong in each page; with `write`, also correct the figures in the files."""
    results = Results(root)
    for page, pieces in read_quotes(root).items():
        path = root / page
        text, changes, faults = correct_page(path.read_text(encoding="utf-8"), pieces, results)
        yield from (f"{page}, {change}" for change in changes)
        yield from (f"{QUOTES}, {page}: {fault}" for fault in faults)
        if write and changes:
            path.write_text(text, encoding="utf-8")


def _compile(piece: str, results: Results) -> tuple[re.Pattern[str], list[str]]:
    """Return a pattern that matches the piece with any figures, one group each, and the expected figures."""
    pattern, expected = "", []
    formatter = Formatter()
    for literal, field, form, _ in formatter.parse(piece):
        pattern += r"\s+".join(re.escape(part) for part in re.split(r"\s+", literal))
        if field is None:
            continue
        try:
            value, _ = formatter.get_field(field, (), results)
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            raise QuoteError(f"quotes {field}, but the result has no {error}") from None
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise QuoteError(f"quotes {field}, which is not a figure")
        form = form or ""
        if isinstance(value, str):
            pattern += _WORD
            expected.append(value)
            continue
        pattern += _NUMBER
        if form.endswith(_PERCENT):
            value, form = 100 * value, form.removesuffix(_PERCENT) + "f"
        expected.append(format(value, form))
    if not expected:
        raise QuoteError("quotes nothing")
    return re.compile(pattern), expected


def main() -> int:
    """Correct the pages; return 1 if something needs a manual fix."""
    wrong = list(correct_pages(Path(), write=True))
    print("\n".join(wrong), file=sys.stderr)
    return int(any(each.startswith(QUOTES) for each in wrong))


if __name__ == "__main__":
    sys.exit(main())

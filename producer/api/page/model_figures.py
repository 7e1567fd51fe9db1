"""The figures of a model card as tables, whatever their names and nesting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# Maximum number of rows in all tables; cards may come from elsewhere.
MOST_ROWS: Final = 400


@dataclass(frozen=True, slots=True)
class Share:
    """A share `count` / `of`, with its confidence interval if the card has one."""

    name: str
    count: int
    of: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.of


@dataclass(frozen=True, slots=True)
class ShareTable:
    """A table of shares with a title."""

    title: str
    shares: Sequence[Share]


def list_figures(figures: Mapping[str, Any]) -> list[ShareTable]:
    """Return the tables of a card's figures; values without `count` and `of` are left out."""
    tables: dict[str, list[Share]] = {}
    for at, (names, share) in enumerate(_walk(figures, ())):
        if at == MOST_ROWS:
            break
        tables.setdefault(", ".join(names[:-1]), []).append(share)
    return [ShareTable(title, shares) for title, shares in tables.items()]


def _walk(value: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Share]]:
    for key, each in value.items():
        if not isinstance(each, Mapping):
            continue
        named = (*names, str(key).replace("_", " "))
        if share := _read_share(named[-1], each):
            yield named, share
        elif len(named) < 5:
            yield from _walk(each, named)


def _read_share(name: str, value: Mapping[str, Any]) -> Share | None:
    count, of = value.get("count"), value.get("of")
    if not (type(count) is type(of) is int and 0 <= count <= of and of > 0):
        return None
    match value.get("interval95"):
        case [int() | float() as low, int() | float() as high]:
            return Share(name, count, of, float(low), float(high))
    return Share(name, count, of, None, None)

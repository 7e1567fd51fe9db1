"""The catalogue of tools: what is installed, and how each is run. `tools.toml` explains its keys."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from research.real_tools.covers import COVER_KINDS
from starlight_vocabulary.payload import PayloadKind
from starlight_vocabulary.words import METHODS

CATALOGUE: Final = Path(__file__).with_name("tools.toml")
REGISTRIES: Final = ("pypi", "debian", "npm", "host")
"""Where tools are installed from; `host` means that a program must be there already."""
LANGUAGES: Final = ("python", "node", "shell")
TEXT: Final = "text"
NOTHING: Final = "nothing"
_LETTERS: Final = ("any", "ascii")
_SHOWN: Final = (TEXT, NOTHING, *(kind.value for kind in PayloadKind))
_LONGEST: Final = 800


class CatalogueError(ValueError):
    """An entry of the catalogue that cannot be used; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run a tool.

    `program` in one of `LANGUAGES` hides a message in each of `covers`, kinds of `COVER_KINDS`. `method` is V4's method
    whose carrier it uses; if it is None, `outside` says why V4 does not look for it. `shows` is what can be read
    without a password: `TEXT`, `NOTHING` or a kind of file. Messages have at most `longest` bytes.
    """

    name: str
    covers: tuple[str, ...]
    language: str
    program: str
    method: str | None
    outside: str
    shows: str
    ascii_only: bool
    longest: int


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: packages of a registry, and the ways to run it."""

    name: str
    registry: str
    packages: tuple[str, ...]
    ways: tuple[Way, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tools, and the libraries by registry that they import."""

    tools: tuple[Tool, ...]
    libraries: Mapping[str, tuple[str, ...]]


def read_catalogue(path: Path = CATALOGUE) -> Catalogue:
    """Read a catalogue. Raises `CatalogueError` if an entry lacks a key or has a wrong one."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    libraries = {registry: tuple(packages) for registry, packages in entries.get("libraries", {}).items()}
    return Catalogue(tuple(_read_tool(entry) for entry in entries.get("tool", [])), libraries)


def _read_tool(entry: dict[str, Any]) -> Tool:
    name = entry.get("name", "a tool without a name")
    if entry.get("registry") not in REGISTRIES:
        raise CatalogueError(f"{name}: the registry is {entry.get('registry')!r}, not one of {', '.join(REGISTRIES)}")
    if not entry.get("packages") or not entry.get("way"):
        raise CatalogueError(f"{name}: packages and at least one way are needed")
    ways = tuple(_read_way(f"{name}, {way.get('name')}", way) for way in entry["way"])
    return Tool(name, entry["registry"], tuple(entry["packages"]), ways)


def _read_way(where: str, entry: dict[str, Any]) -> Way:
    languages = [language for language in LANGUAGES if language in entry]
    if len(languages) != 1:
        raise CatalogueError(f"{where}: exactly one of {', '.join(LANGUAGES)} must say how to run it")
    method, outside, shows = entry.get("method"), entry.get("outside", ""), entry.get("shows", TEXT)
    if (method is None) == (outside == ""):
        raise CatalogueError(f"{where}: either a method or a reason why it is outside is needed")
    for key, value, known in (
        ("method", method, (None, *METHODS)),
        ("shows", shows, _SHOWN),
        ("letters", entry.get("letters", "any"), _LETTERS),
        *(("cover", cover, tuple(COVER_KINDS)) for cover in entry.get("covers") or [None]),
    ):
        if value not in known:
            raise CatalogueError(f"{where}: {key} is {value!r}, not one of {', '.join(map(str, known))}")
    return Way(
        name=entry["name"],
        covers=tuple(entry["covers"]),
        language=languages[0],
        program=entry[languages[0]].strip(),
        method=method,
        outside=outside,
        shows=shows,
        ascii_only=entry.get("letters") == "ascii",
        longest=int(entry.get("longest", _LONGEST)),
    )

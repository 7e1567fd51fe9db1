"""The inspection of one file: everything that is in it, also in places that V4 does not read."""

from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.payload import Payload, PayloadKind
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Word


class Place(Word):
    """The part of a file in which something is found."""

    PIXELS = "pixels"
    METADATA = "metadata"
    TRAILING = "trailing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one place in a file contains, read in one way."""

    place: Place
    """Pixels, metadata, or the bytes after the image's end."""
    name: str
    """The exact place, and how it was read."""
    payload: Payload
    """The content; only the beginning of a text."""

    @property
    def is_readable(self) -> bool:
        """Whether the content is text or a file of a known kind."""
        return self.payload.kind not in (PayloadKind.EMPTY, PayloadKind.DATA, PayloadKind.CIPHERTEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything in a file: the first bytes of each carrier, read in every order; readable findings come first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    format: str
    """Pillow's name for the format of the file."""
    mode: str
    """Pillow's name for the mode of the pixels."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""
    size_bytes: int
    """Size of the file."""
    damage: str | None
    """What is wrong with a damaged file, which is only partly decoded."""
    findings: list[Finding]
    """The most relevant first. A few characters of text occur by chance in noise."""
    truncated: bool
    """Whether there are more findings than are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInspection:
    """An image that was judged: the newest verdict on its bytes, and their inspection."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    verdict: Verdict
    """The newest verdict."""
    inspection: Inspection
    """Everything that is in the file."""

"""The inspection of one file: everything that is in it, whether V4 looks there or not."""

from dataclasses import dataclass
from typing import Any, ClassVar

from starlight_vocabulary.job import DOCUMENTED
from starlight_vocabulary.payload import Payload, PayloadKind
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Word


class Place(Word):
    """Where in a file something is found."""

    PIXELS = "pixels"
    METADATA = "metadata"
    TRAILING = "trailing"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one place of a file holds, when it is read in one way."""

    place: Place
    """Pixels, metadata, or what follows the image's end."""
    name: str
    """Which of them, and how it is read."""
    payload: Payload
    """What stands there; of text, its beginning."""

    @property
    def is_readable(self) -> bool:
        """Whether it is text or a file of a known kind."""
        return self.payload.kind not in (PayloadKind.EMPTY, PayloadKind.DATA, PayloadKind.CIPHERTEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What is in a file. Of each carrier, what its first bytes say in every order; what is readable comes first."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    format: str
    """Of the file, under Pillow's name for it."""
    mode: str
    """Of the pixels, under Pillow's name for it."""
    width: int
    """In pixels."""
    height: int
    """In pixels."""
    size_bytes: int
    """Of the file."""
    damage: str | None
    """What is wrong with the file, of which only a part can be seen then."""
    findings: list[Finding]
    """Most telling first. In noise, a few characters of text occur by chance."""
    truncated: bool
    """Whether there is more than is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInspection:
    """An image that was judged: the newest verdict on its bytes, and what is in them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = DOCUMENTED

    verdict: Verdict
    """What V4 says of it."""
    inspection: Inspection
    """What else is in it."""

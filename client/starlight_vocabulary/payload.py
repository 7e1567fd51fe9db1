"""The payload: the data that was read where V4 says that something is hidden, in a form for programs."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from starlight_vocabulary.counts import format_count
from starlight_vocabulary.words import ExplainedWord

# An example for the API's documentation.
EXAMPLE_PAYLOAD: Final = {
    "kind": "text", "size": 15, "offset": 8, "header": "AI42, length 15 in 4 bytes, big-endian",
    "closed_by": "the length", "encoding": "utf-8", "text": "meet me at noon", "listing": None, "entropy": None,
    "detail": None, "truncated": False, "limit": 65536,
}  # fmt: skip


class PayloadKind(ExplainedWord):
    """The kind of a payload."""

    EMPTY = "empty", "nothing"
    TEXT = "text", "text"
    ZIP = "zip", "zip archive"
    SEVEN_ZIP = "7z", "7-Zip archive"
    RAR = "rar", "RAR archive"
    TAR = "tar", "tar archive"
    GZIP = "gzip", "gzip data"
    BZIP2 = "bzip2", "bzip2 data"
    XZ = "xz", "xz data"
    ZSTD = "zstd", "Zstandard data"
    ZLIB = "zlib", "zlib data"
    PDF = "pdf", "PDF document"
    PNG = "png", "PNG image"
    JPEG = "jpeg", "JPEG image"
    GIF = "gif", "GIF image"
    WEBP = "webp", "WebP image"
    ELF = "elf", "ELF program"
    EXE = "exe", "Windows program"
    SCRIPT = "script", "script"
    OPENSSL = "openssl", "OpenSSL ciphertext, salted"
    PGP = "pgp", "PGP message"
    AGE = "age", "age ciphertext"
    CIPHERTEXT = "ciphertext", "ciphertext or compressed data"
    DATA = "data", "bytes"


# The most members of an archive that a message names.
NAMED_MEMBERS: Final = 5


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive."""

    name: str
    """Name of the member, at most 255 characters."""
    size: int
    """Unpacked size in bytes, as the archive states it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What was read from an image. It is not part of V4's decision, and its content is untrusted."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "use_attribute_docstrings": True,
        "json_schema_extra": {"examples": [EXAMPLE_PAYLOAD]},
    }

    kind: PayloadKind
    """The kind of data."""
    size: int | None
    """Number of hidden bytes, without header and end mark; null if its end is unknown."""
    offset: int
    """Number of bytes of the carrier before it."""
    header: str | None
    """Description of the header before it."""
    closed_by: str | None
    """Description of what closes it; null if nothing does, and then its last characters may be chance."""
    encoding: str | None
    """Encodings, outermost first: `utf-8`, `base64+utf-8`, `zlib+utf-8`, …; null if the bytes were not decoded."""
    text: str | None
    """The text of a payload that is text; it is the `extracted_message`."""
    listing: list[Member] | None
    """The first members of a zip or tar archive."""
    entropy: float | None
    """Entropy in bits a byte, if it is not text."""
    detail: str | None
    """Further details, such as its first bytes."""
    truncated: bool
    """Whether there is more text, or more members, than is given here."""
    limit: int
    """The most bytes of text that are given here."""

    def to_message(self) -> str | None:
        """Return the text, or otherwise a description; None if it is empty."""
        if self.text is not None:
            return self.text
        if self.kind is PayloadKind.EMPTY:
            return None
        size = "size unknown" if self.size is None else format_count(self.size, "byte")
        entropy = "" if self.entropy is None else f"entropy {self.entropy:.1f} bits/byte"
        if self.kind in (PayloadKind.DATA, PayloadKind.CIPHERTEXT):
            return ", ".join(filter(None, (size, entropy, self.detail)))
        name = self.kind.explanation if isinstance(self.kind, PayloadKind) else self.kind
        wrapped = f"in {self.encoding}" if self.encoding else ""
        members = [f"{member.name} ({format_count(member.size, 'byte')})" for member in self.listing or ()]
        more = len(members) > NAMED_MEMBERS or self.truncated
        named = ", ".join([*members[:NAMED_MEMBERS], *(["…"] if more else [])])
        return ", ".join(filter(None, (name, size, wrapped, named)))

"""The payload: what was read where V4 says that something is hidden, in parts that programs can use."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from starlight_vocabulary.words import ExplainedWord

# A payload as it may look, for the API's documentation.
EXAMPLE_PAYLOAD: Final = {
    "kind": "text", "size": 15, "offset": 8, "header": "AI42, length 15 in 4 bytes, big-endian",
    "closed_by": "the length", "encoding": "utf-8", "text": "meet me at noon", "listing": None, "entropy": None,
    "detail": None, "truncated": False, "limit": 65536,
}  # fmt: skip


class PayloadKind(ExplainedWord):
    """What a payload is."""

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


# Members of an archive that a message names.
NAMED_MEMBERS: Final = 5


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an archive, as the archive names it."""

    name: str
    """Its name, at most 255 characters."""
    size: int
    """Its bytes when unpacked, as the archive says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What was read out of an image. It is a reading, not part of V4's decision, and whatever a stranger hid."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "use_attribute_docstrings": True,
        "json_schema_extra": {"examples": [EXAMPLE_PAYLOAD]},
    }

    kind: PayloadKind
    """What it is."""
    size: int | None
    """Its bytes as they are hidden, without header and end mark; null where nothing says where it ends."""
    offset: int
    """How many bytes of the carrier stand before it."""
    header: str | None
    """What stands before it, in words."""
    closed_by: str | None
    """What ends it, in words; null where nothing does, and its last characters may be chance."""
    encoding: str | None
    """How it was decoded, outermost first: `utf-8`, `base64+utf-8`, `zlib+utf-8`, …; null of bytes as they are."""
    text: str | None
    """Of text, what it says: the `extracted_message`."""
    listing: list[Member] | None
    """Of zip and tar, the first members."""
    entropy: float | None
    """Of what is no text, in bits a byte."""
    detail: str | None
    """What else can be said, such as a file's name, or a guess at what made it."""
    truncated: bool
    """Whether there is more text, or more members, than is shown."""
    limit: int
    """How many bytes of text were shown at most."""

    def to_message(self) -> str | None:
        """Return it in words: the text, else what it is; None where it is empty."""
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


def format_count(number: int, noun: str) -> str:
    """Return the number with its noun: `1 byte`, `1,000 bytes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

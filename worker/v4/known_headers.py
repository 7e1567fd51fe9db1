"""Headers that need no search: of programs whose format is known, and those with a digest that matches the payload."""

import hashlib
import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from worker.v4.headers import BITS, BYTES, DIGESTS, FIELDS, SURE, Header
from worker.v4.text_runs import TextRuns

_ALGORITHMS: Final = dict(zip(DIGESTS, ("md5", "sha1", "sha256", "sha512"), strict=True))
# How many characters of noise may follow a text before its digest.
_CHANCE: Final = 32
_MIN_TEXT: Final = 4


class _Format(NamedTuple):
    """A program's header: groups `size` and maybe `name`, lengths of the payload and of a file name behind the match.

    The size also counts the last `counted` bytes of the header.
    """

    pattern: re.Pattern[bytes]
    order: Literal["big", "little"]
    counted: int = 0


_FORMATS: Final = (
    # OpenStego: stamp, version, length, bits per sample, length of the name, two flags; in version 2 a cipher.
    _Format(re.compile(rb"OPENSTEGO\x01(?P<size>.{4})[\x01-\x08](?P<name>.)[NY]{2}", re.DOTALL), "little"),
    _Format(re.compile(rb"OPENSTEGO\x02(?P<size>.{4})[\x01-\x08](?P<name>.)[NY]{2}.{8}", re.DOTALL), "little"),
    # steganographer: length, bits per sample, length of the name.
    _Format(re.compile(rb"STEGS(?P<size>.{8}\x00\x00)[\x01-\x08](?P<name>.{2})", re.DOTALL), "little"),
    # zyc-stego: length of the name, length.
    _Format(re.compile(rb"STG0(?P<name>.{2})(?P<size>.{8})", re.DOTALL), "big"),
    # imagestego: length, seconds since 1970 (those of the years 2020 to 2045).
    _Format(re.compile(rb"(?P<size>.{4})\x00{4}[\x5e-\x8e].{3}", re.DOTALL), "big", counted=8),
)


def find_known_header(data: bytes, first: int, total: int) -> Header | None:
    """Return a known program's header at offset `first` of `data`, the first of `total` bytes; None without one."""
    for known in _FORMATS:
        if match := known.pattern.match(data, first):
            groups = {name: int.from_bytes(value, known.order) for name, value in match.groupdict().items()}
            start, size = match.end() + groups.get("name", 0), groups["size"] - known.counted
            if 0 < size <= total - start:
                at, width = match.start("size"), len(match["size"])
                has_name = groups.get("name", 0) > 0
                return Header(start, size, at, width, known.order, BYTES, exact=True, evidence=SURE, has_name=has_name)
    return None


def find_digest_header(data: bytes, first: int) -> Header | None:
    """Return the header of a length and a digest, in either order, if it is the digest of what follows; or None."""
    for size_of_digest, algorithm in _ALGORITHMS.items():
        for width, order in FIELDS:
            for at, digest_at in ((first, first + width), (first + size_of_digest, first)):
                start = first + width + size_of_digest
                digest = data[digest_at : digest_at + size_of_digest]
                for unit, size in _list_sizes(data[at : at + width], order, size_of_digest):
                    if 0 < size <= len(data) - start and _digest(algorithm, data[start : start + size]) == digest:
                        return Header(start, size, at, width, order, unit, exact=True, evidence=SURE)
    return None


def find_digested_text(data: bytes, first: int, runs: TextRuns) -> tuple[int, int] | None:
    """Return start and end of the text after its own digest at offset `first`; None without one."""
    for size_of_digest, algorithm in _ALGORITHMS.items():
        start = first + size_of_digest
        run_end = runs.find_end(start)
        for end in range(run_end, max(start + _MIN_TEXT, run_end - _CHANCE) - 1, -1):
            if _digest(algorithm, data[start:end]) == data[first:start]:
                return start, end
    return None


def _list_sizes(field: bytes, order: Literal["big", "little"], size_of_digest: int) -> Iterator[tuple[str, int]]:
    """Yield the sizes that a length may mean, with their units: in bytes, perhaps with the digest, or in bits."""
    value = int.from_bytes(field, order)
    yield BYTES, value
    yield BYTES, value - size_of_digest
    if value % 8 == 0:
        yield BITS, value // 8


def _digest(algorithm: str, body: bytes) -> bytes:
    return hashlib.new(algorithm, body, usedforsecurity=False).digest()

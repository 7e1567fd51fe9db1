"""Decodes payloads that are wrapped in Base64, zlib or gzip, within limits."""

import base64
import binascii
import re
import zlib
from dataclasses import dataclass
from typing import Final

from worker.v4.file_kinds import recognise_kind
from worker.v4.text_runs import decode_text

MAX_DEPTH: Final = 3
"""The most nested wrappings that are decoded."""

_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4}[\r\n]{0,2})++(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?[\r\n]{0,2}")
_URL_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9_-]{4})++(?:[A-Za-z0-9_-]{2}={0,2}|[A-Za-z0-9_-]{3}=?)?")
# Shorter matches may be ordinary words.
_MIN_BASE64: Final = 12
# The fewest bytes that must come out of an incomplete stream: fewer may come out of any text that looks like one.
_MIN_UNFINISHED: Final = 16
# The window bits that zlib takes for its own format and for gzip.
_WINDOWS: Final = {b"\x78": ("zlib", 15), b"\x1f\x8b\x08": ("gzip", 31)}


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The unwrapped bytes, up to the limit, and the wrappings, outermost first.

    `taken` is how many of the outermost bytes were used. `cut` says that there is more inside.
    """

    body: bytes
    wrappings: tuple[str, ...]
    taken: int
    cut: bool


def unwrap(data: bytes, limit: int, *, is_cut: bool = False) -> Unwrapped:
    """Unwrap `data` as long as the result is text or a file of a known kind; at most `limit` bytes.

    `is_cut` says that `data` is incomplete. The bytes never make this raise.
    """
    found = Unwrapped(data, (), len(data), is_cut)
    for _ in range(MAX_DEPTH):
        inner = _unpack(found.body, limit) or _spell_out(found.body, limit, is_cut=found.cut)
        if inner is None or (decode_text(inner.body) is None and recognise_kind(inner.body) is None):
            return found
        taken = found.taken if found.wrappings else inner.taken
        found = Unwrapped(inner.body, found.wrappings + inner.wrappings, taken, inner.cut)
    return found


def _unpack(data: bytes, limit: int) -> Unwrapped | None:
    for magic, (name, window) in _WINDOWS.items():
        if data.startswith(magic):
            unpacker = zlib.decompressobj(window)
            try:
                body = unpacker.decompress(data, limit)
            except zlib.error:
                return None
            if not unpacker.eof and len(body) < min(_MIN_UNFINISHED, limit):
                return None
            taken = len(data) - len(unpacker.unused_data) - len(unpacker.unconsumed_tail)
            return Unwrapped(body, (name,), taken if unpacker.eof else len(data), not unpacker.eof) if body else None
    return None


def _spell_out(data: bytes, limit: int, *, is_cut: bool) -> Unwrapped | None:
    # Four letters make three bytes; line ends may take as much again.
    head = data[: 4 * (limit + 3) // 3 * 2]
    for pattern, alphabet in ((_BASE64, b"+/"), (_URL_BASE64, b"-_")):
        match = pattern.match(head)
        if match is None or match.end() < _MIN_BASE64:
            continue
        # Up to three bytes of noise may follow; with more, it is not Base64 but text.
        if match.end() < len(data.rstrip(b"\r\n ")) - 3:
            continue
        letters = re.sub(rb"[\r\n]", b"", match.group())
        try:
            body = base64.b64decode(letters + b"=" * (-len(letters) % 4), alphabet, validate=True)
        except binascii.Error:
            continue
        cut = is_cut or len(head) < len(data) or len(body) > limit
        return Unwrapped(body[:limit], ("base64",), match.end(), cut)
    return None

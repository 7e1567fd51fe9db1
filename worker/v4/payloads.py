"""Understanding what is hidden: text behind a header or in front of a mark, files, archives, ciphertext.

The bytes are a stranger's: whatever they are, this takes time and memory in proportion to what is read of them, and
never raises on their account.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from starlight_vocabulary.payload import Member, Payload, PayloadKind
from worker.v4.end_marks import CLOSING, cut_end_mark, name_end
from worker.v4.file_kinds import find_end, find_strong_kind, recognise_kind
from worker.v4.headers import (
    ALPHA_PREFIX,
    DIGESTS,
    FITS,
    MAX_WORD,
    SPELLED,
    Header,
    find_header,
    is_name,
    may_be_header,
)
from worker.v4.member_lists import list_members
from worker.v4.text_ends import cut_pattern, find_likely_end
from worker.v4.text_runs import TextRuns, decode_text, is_text
from worker.v4.unwrapping import Unwrapped, unwrap
from worker.v4.wide_text import WideText, find_wide_text

HEAD_BYTES: Final = 4096
"""What is read first; more only of what goes on."""
MAX_LISTED_BYTES: Final = 8 * 2**20
"""Of an archive in pixels, what is read for the list of its members."""

# Text that nobody points at: shorter runs are found in any noise.
_MIN_RUN: Final = 16
# Bytes that may stand in front of it.
_MAX_LEAD: Final = 512
# Of evidence for a header that stands behind a text which a zero closes.
_SURE_BITS: Final = 18
_MAX_VERSION: Final = 4
_MIN_ALPHABET: Final = 6
_CHANCE_IN_DIGEST: Final = 5
_CHANCE_BEFORE_ZERO: Final = 16
_CHANCE_BEHIND_LENGTH: Final = 3
# Text that begins at the first byte, and nothing closes.
_MIN_UNCLOSED: Final = 6
# Of the most that so many bytes can have, the entropy from which on they are as even as chance makes them.
_RANDOM_SHARE: Final = 0.88
_MIN_RANDOM: Final = 64
_ENTROPY_BYTES: Final = 2**20


class Carrier(Protocol):
    """Where hidden bytes are read from.

    It `is_whole` where it ends with the payload: behind the image's end, and in a UserComment, nothing else stands.
    """

    @property
    def total(self) -> int:
        """How many bytes there are."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing else stands behind a payload."""

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""


@dataclass(frozen=True, slots=True)
class ReadPayload:
    """A payload and its bytes: of text, these are its UTF-8, without mark; else what was hidden, at most `limit`."""

    payload: Payload
    body: bytes


def read_payload_of(carrier: Carrier, limit: int) -> ReadPayload:
    """Understand what a carrier holds; of text, at most `limit` bytes are shown."""
    head = carrier.take(min(carrier.total, HEAD_BYTES))
    reading = _Reading(head, carrier, limit)
    found = reading.understand()
    wanted = min(carrier.total, 2 * limit + HEAD_BYTES)
    if reading.wants_more and wanted > len(head):
        found = _Reading(carrier.take(wanted), carrier, limit).understand()
    return found


class _Reading:
    """One look at the first bytes of a carrier. `wants_more` says afterwards that what was found goes on."""

    def __init__(self, data: bytes, carrier: Carrier, limit: int) -> None:
        self._data = data
        self._carrier = carrier
        self._limit = limit
        self._start = len(ALPHA_PREFIX) if data.startswith(ALPHA_PREFIX) else 0
        self.wants_more = False

    @cached_property
    def _runs(self) -> TextRuns:
        return TextRuns(self._data, is_cut=len(self._data) < self._carrier.total)

    def understand(self) -> ReadPayload:
        """Return the most telling reading."""
        data, start = self._data, self._start
        if not data[start:].strip(b"\x00") and len(data) == self._carrier.total:
            return self._empty()
        zero = data.find(0, start)
        if zero < 0 and self._carrier.is_whole and len(data) == self._carrier.total:
            zero = len(data)
        closed = data[start:zero] if zero > start else b""
        kind = recognise_kind(data, start)
        if kind:
            return self._file(kind, start, None, self._prefix(start))
        wide = find_wide_text(data, start)
        if wide:
            return self._wide(wide)
        if len(closed) > MAX_WORD and is_text(closed) and not may_be_header(data, start, zero):
            # What the specification says, and most find: nothing else counts for more.
            return self._text(start, zero, None)
        header = find_header(data, self._runs, self._carrier.total, is_whole=self._carrier.is_whole)
        end = self._runs.find_end(start)
        if closed and closed[-1] in CLOSING and end == zero - 1:
            zero, closed = end, closed[:-1]
        # Behind a text that nothing closes, noise of a picture may have its first zero a few bytes on.
        is_noise = not self._carrier.is_whole and end - start >= _MIN_UNCLOSED and 0 < zero - end <= _CHANCE_BEFORE_ZERO
        closed_text = decode_text(closed) is not None and not is_noise
        if header and header.evidence > FITS and self._precedes(header, end, zero if closed_text else None):
            return self._behind(header)
        if lead := self._find_behind_word(end):
            return self._text(*lead, self._prefix(lead[0]))
        if closed_text and (header is None or len(closed) >= _MIN_UNCLOSED or self._carrier.is_whole):
            return self._text(start, zero, None)
        if end - start >= _MIN_UNCLOSED:
            return self._text(start, end, None)
        if strong := find_strong_kind(data[:HEAD_BYTES]):
            return self._file(strong[1], strong[0], None, self._prefix(strong[0]))
        first, last = self._find_run()
        least = self._carrier.total // 2 if self._carrier.is_whole else header.size // 2 if header else 0
        if last - first >= max(_MIN_RUN, least):
            return self._text(first, last, self._prefix(first))
        if header:
            return self._behind(header)
        if closed_text:
            return self._text(start, zero, None)
        return self._bytes(zero)

    def _find_run(self) -> tuple[int, int]:
        """Return the longest run of text. Behind a digest, the last bytes of that may look like its beginning."""
        first, last = self._runs.find_longest(_MAX_LEAD)
        return next((size for size in DIGESTS if 0 <= size - first <= _CHANCE_IN_DIGEST), first), last

    def _find_behind_word(self, end: int) -> tuple[int, int] | None:
        """Return the run of text that follows a short word and a few bytes, such as a magic and a version."""
        first, last = self._find_run()
        word, between = end - self._start, self._data[end:first]
        is_word = 0 < word <= MAX_WORD and 0 < len(between) <= _MAX_VERSION and between != b"\x00"
        # Not the pattern of a plain picture.
        is_long = last - first >= max(_MIN_RUN, 2 * word) and len(set(self._data[first:last])) >= _MIN_ALPHABET
        return (first, last) if is_word and is_long else None

    def _precedes(self, header: Header, end: int, zero: int | None) -> bool:
        """Whether a header counts for more than text from the start to `end`, which a zero closes if one is given."""
        if header.start >= end:
            # In front of it may stand a magic or a name; a short text that a zero closes is more often just that.
            word = self._data[self._start : end]
            is_word = len(word) <= MAX_WORD and (zero is None or len(word.split()) < 2)
            near = header.at <= zero + (_MAX_VERSION if header.has_name else 0) if zero is not None else True
            return (is_word or is_name(word)) and (near or header.bits >= _SURE_BITS)
        # Among the text stands the length itself, in decimal or by chance.
        chance = _CHANCE_BEHIND_LENGTH if header.unit == SPELLED and not self._carrier.is_whole else 0
        ends = zero is None or 0 <= zero - header.end <= chance or zero < header.start
        return header.at == self._start and ends

    def _behind(self, header: Header) -> ReadPayload:
        data = self._data
        if header.end > len(data):
            self.wants_more = True
        words = header.describe(data)
        kind = recognise_kind(data, header.start)
        if kind:
            return self._file(kind, header.start, header.size, words)
        body = data[header.start : header.end]
        if is_name(body) and (further := self._behind_name(header, words)):
            return further
        if decode_text(body) is not None:
            return self._show(header.start, body, header.size, "the length", words)
        return self._opaque(header.start, body, header.size, "the length", words)

    def _behind_name(self, header: Header, words: str) -> ReadPayload | None:
        """Return what stands behind a file's name if a length of its own, which is borne out, follows that."""
        rest = self._data[header.end :]
        runs = TextRuns(rest, is_cut=len(self._data) < self._carrier.total)
        found = find_header(rest, runs, self._carrier.total - header.end, is_whole=self._carrier.is_whole)
        if found is None or found.at or found.evidence == FITS:
            return None
        body = rest[found.start : found.end]
        if decode_text(body) is None:
            return None
        self.wants_more |= found.end > len(rest)
        name = self._data[header.start : header.end].decode("ascii", "replace")
        words = f"{words}, name {name!r}, {found.describe(rest)}"
        return self._show(header.end + found.start, body, found.size, "the length", words)

    def _text(self, start: int, end: int, words: str | None) -> ReadPayload:
        data = self._data
        if end == len(data) < self._carrier.total:
            self.wants_more = True
        closing = name_end(data, end, self._carrier.total, is_whole=self._carrier.is_whole)
        if closing is None and end < len(data):
            plain = cut_pattern(data, start, end)
            end = plain if plain - start >= _MIN_UNCLOSED else end
        body, mark = cut_end_mark(data[start:end], is_closed=closing is not None)
        is_open = closing is None and mark is None and end < len(data) and not self._carrier.is_whole
        if is_open and not unwrap(body, self._limit).wrappings:
            body = data[start : find_likely_end(data, start, end)]
        closing = f"end mark {mark!r}" if mark else closing
        size = None if end == len(data) < self._carrier.total else len(body)
        return self._show(start, body, size, closing, words or self._prefix(start))

    def _show(self, start: int, body: bytes, size: int | None, closing: str | None, words: str | None) -> ReadPayload:
        """Return a payload that is text, and what is inside where it is Base64."""
        whole = size is not None and len(body) >= size
        inside = unwrap(body, self._limit, is_cut=not whole)
        if inside.wrappings and decode_text(inside.body) is None:
            kind = recognise_kind(inside.body)
            assert kind is not None, "what is unwrapped is text or of a known kind"
            return self._file(kind, start, size, words, inside.body, "+".join(inside.wrappings), closing)
        shown = inside.body[: self._limit]
        text = decode_text(shown) or ""
        cut = len(inside.body) > self._limit or inside.cut if inside.wrappings else not whole or len(body) > len(shown)
        encoding = "+".join((*inside.wrappings, "utf-8"))
        size = inside.taken if inside.wrappings and whole else size
        payload = self._make(
            PayloadKind.TEXT, start, size, header=words, closed_by=closing, encoding=encoding, text=text, truncated=cut
        )
        return ReadPayload(payload, text.encode())

    def _wide(self, wide: WideText) -> ReadPayload:
        if wide.end == len(self._data) < self._carrier.total:
            self.wants_more = True
        closing = name_end(self._data, wide.end, self._carrier.total, is_whole=self._carrier.is_whole)
        shown = decode_text(wide.text[: self._limit]) or ""
        payload = self._make(
            PayloadKind.TEXT, wide.start, wide.end - wide.start, header=self._prefix(wide.start), closed_by=closing,
            encoding=wide.coding, text=shown, truncated=len(wide.text) > self._limit,
        )  # fmt: skip
        return ReadPayload(payload, shown.encode())

    def _file(
        self,
        kind: PayloadKind,
        start: int,
        size: int | None,
        words: str | None,
        inside: bytes | None = None,
        encoding: str | None = None,
        closing: str | None = None,
    ) -> ReadPayload:
        """Return a payload that is a file, `inside` where it was unwrapped."""
        known = self._carrier.total - start if self._carrier.is_whole else None
        wanted = min(self._carrier.total, start + (size or MAX_LISTED_BYTES))
        if not self._carrier.is_whole:
            wanted = min(wanted, start + MAX_LISTED_BYTES)
        data = self._carrier.take(wanted)[start:] if inside is None else inside
        if inside is None:
            shown = unwrap(data, self._limit + 1)
            if shown.wrappings:
                return self._unpacked(shown, start, size, words)
            if size is None and (end := find_end(data, kind)) is not None:
                size, closing = end, closing or "its own end"
            elif kind is PayloadKind.SCRIPT and size is None and not self._carrier.is_whole:
                # A script is text, and ends as text does.
                end = find_likely_end(self._data, start, self._runs.find_end(start))
                size, closing = end - start, "where it is text no more"
            elif size is not None:
                closing = "the length"
            elif known is not None:
                size, closing = known, "the end of the file"
                if kind is PayloadKind.SCRIPT and data.endswith(b"\x00"):
                    size, closing = known - 1, "a zero byte"
        listed = list_members(data if size is None or inside is not None else data[:size], kind)
        members, more = listed or (None, False)
        payload = self._make(
            kind, start, size, header=words, closed_by=closing, encoding=encoding, entropy=measure_entropy(data),
            listing=members, truncated=more,
        )  # fmt: skip
        return ReadPayload(payload, data[: self._limit] if size is None else data[: min(size, self._limit)])

    def _unpacked(self, shown: Unwrapped, start: int, size: int | None, words: str | None) -> ReadPayload:
        closing = "the length" if size is not None else None if shown.cut else "its own end"
        wrapped = "+".join(shown.wrappings)
        text = decode_text(shown.body[: self._limit])
        taken = size if size is not None else None if shown.cut else shown.taken
        if text is None:
            kind = recognise_kind(shown.body)
            assert kind is not None, "what is unwrapped is text or of a known kind"
            return self._file(kind, start, taken, words, shown.body, wrapped, closing)
        payload = self._make(
            PayloadKind.TEXT, start, taken, header=words, closed_by=closing, encoding=f"{wrapped}+utf-8", text=text,
            truncated=shown.cut or len(shown.body) > self._limit,
        )  # fmt: skip
        return ReadPayload(payload, text.encode())

    def _bytes(self, zero: int) -> ReadPayload:
        """Return a payload of which nothing is known: all of it where the file ends it, else up to the first zero."""
        data, start = self._data, self._start
        if self._carrier.is_whole:
            total = self._carrier.total
            closed = self._carrier.take(total)[-1:] == b"\x00"
            return self._opaque(
                start, data[start:], total - start - closed, "a zero byte" if closed else "the end of the file", None
            )
        if zero < 0:
            return self._opaque(start, data[start:], None, None, None)
        if zero == start:
            return self._empty()
        return self._opaque(start, data[start:zero], zero - start, "a zero byte", None)

    def _opaque(self, start: int, body: bytes, size: int | None, closing: str | None, words: str | None) -> ReadPayload:
        body = body if size is None else body[:size]
        entropy = measure_entropy(body)
        kind = PayloadKind.CIPHERTEXT if looks_random(len(body), entropy) else PayloadKind.DATA
        detail = f"first bytes {body[:16].hex()}{'…' if len(body) > 16 else ''}"
        if kind is PayloadKind.CIPHERTEXT and size is not None and size % 16 == 0:
            detail += "; a multiple of 16 bytes, as block ciphers make"
        payload = self._make(
            kind, start, size, header=words or self._prefix(start), closed_by=closing, entropy=entropy, detail=detail
        )
        return ReadPayload(payload, body[: self._limit])

    def _empty(self) -> ReadPayload:
        return ReadPayload(self._make(PayloadKind.EMPTY, self._start, 0), b"")

    def _prefix(self, start: int) -> str | None:
        if start == 0:
            return None
        before = self._data[:start]
        if before == ALPHA_PREFIX:
            return "AI42"
        return f"{start} {'byte' if start == 1 else 'bytes'} {before[:16].hex()}{'…' if start > 16 else ''}"

    def _make(
        self,
        kind: PayloadKind,
        start: int,
        size: int | None,
        *,
        header: str | None = None,
        closed_by: str | None = None,
        encoding: str | None = None,
        text: str | None = None,
        listing: list[Member] | None = None,
        entropy: float | None = None,
        detail: str | None = None,
        truncated: bool = False,
    ) -> Payload:
        return Payload(
            kind=kind, size=size, offset=start, header=header, closed_by=closed_by, encoding=encoding, text=text,
            listing=listing, entropy=entropy, detail=detail, truncated=truncated, limit=self._limit,
        )  # fmt: skip


def measure_entropy(data: bytes) -> float:
    """Return the entropy of the first bytes, in bits a byte; 0 of none."""
    if not data:
        return 0.0
    counts = np.bincount(np.frombuffer(data[:_ENTROPY_BYTES], np.uint8))
    shares = counts[counts > 0] / min(len(data), _ENTROPY_BYTES)
    return round(abs(float(np.sum(shares * np.log2(shares)))), 2)


def looks_random(size: int, entropy: float) -> bool:
    """Whether so many bytes of this entropy are as even as ciphertext and compressed data are."""
    return size >= _MIN_RANDOM and entropy >= _RANDOM_SHARE * min(8.0, float(np.log2(size)))

"""Describes a payload that was found: its text or members, its header, and what closes it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from starlight_vocabulary.payload import Member, Payload, PayloadKind
from worker.v4.end_marks import cut_end_mark, name_end
from worker.v4.entropy import looks_random, measure_entropy
from worker.v4.file_kinds import find_end, recognise_kind
from worker.v4.headers import ALPHA_PREFIX
from worker.v4.member_lists import list_members
from worker.v4.text_ends import cut_pattern, find_likely_end
from worker.v4.text_runs import TextRuns, decode_text
from worker.v4.unwrapping import Unwrapped, unwrap
from worker.v4.wide_text import WideText

MAX_LISTED_BYTES: Final = 8 * 2**20
"""How many bytes of an archive in pixels are read to list its members."""
_MAX_WIDTH: Final = 4
MIN_UNCLOSED: Final = 6
"""The fewest characters of a text that begins at the first byte and that nothing closes."""


class Carrier(Protocol):
    """A source of hidden bytes.

    It `is_whole` if it ends with the payload, as trailing bytes and UserComments do.
    """

    @property
    def total(self) -> int:
        """The number of bytes."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing follows a payload."""

    def take(self, count: int) -> bytes:
        """Return the first `count` bytes, or all."""


@dataclass(frozen=True, slots=True)
class ReadPayload:
    """A payload and its bytes: a text's UTF-8 without end mark, or the hidden bytes, at most `limit`."""

    payload: Payload
    body: bytes


class PayloadDescriber:
    """Describes the payload in `data`, the first bytes of a carrier; at most `limit` bytes of a text are shown.

    A payload begins at `start`, which is after the specification's prefix, or later. `wants_more` is set if the
    described payload goes on after `data`.
    """

    def __init__(self, data: bytes, carrier: Carrier, limit: int) -> None:
        self.wants_more = False
        self.start = len(ALPHA_PREFIX) if data.startswith(ALPHA_PREFIX) else 0
        self._data = data
        self._carrier = carrier
        self._limit = limit

    @cached_property
    def runs(self) -> TextRuns:
        """The runs of text in the data."""
        return TextRuns(self._data, is_cut=len(self._data) < self._carrier.total)

    def text(self, start: int, end: int) -> ReadPayload:
        """Return the text from `start` to `end`, or to where it most likely ends if nothing closes it."""
        data = self._data
        if end == len(data) < self._carrier.total:
            self.wants_more = True
        closing = name_end(data, end, self._carrier.total, is_whole=self._carrier.is_whole)
        if closing is None and end < len(data):
            plain = cut_pattern(data, start, end)
            end = plain if plain - start >= MIN_UNCLOSED else end
        body, mark = cut_end_mark(data[start:end], is_closed=closing is not None)
        is_open = closing is None and mark is None and end < len(data) and not self._carrier.is_whole
        if is_open and not unwrap(body, self._limit).wrappings:
            body = data[start : find_likely_end(data, start, end)]
        closing = f"end mark {mark!r}" if mark else closing
        size = None if end == len(data) < self._carrier.total else len(body)
        return self.text_in(start, body, size, closing, self._prefix(start))

    def text_in(self, start: int, body: bytes, size: int | None, closing: str | None, words: str | None) -> ReadPayload:
        """Return a payload that is text; if it is Base64, what is inside."""
        whole = size is not None and len(body) >= size
        inside = unwrap(body, self._limit, is_cut=not whole)
        if inside.wrappings and decode_text(inside.body) is None:
            kind = recognise_kind(inside.body)
            assert kind is not None, "unwrapped bytes are text or a file of a known kind"
            return self.file(kind, start, size, words, inside.body, "+".join(inside.wrappings), closing)
        shown = inside.body[: self._limit]
        text = decode_text(shown) or ""
        cut = len(inside.body) > self._limit or inside.cut if inside.wrappings else not whole or len(body) > len(shown)
        encoding = "+".join((*inside.wrappings, "utf-8"))
        size = inside.taken if inside.wrappings and whole else size
        payload = self._make(
            PayloadKind.TEXT, start, size, header=words, closed_by=closing, encoding=encoding, text=text, truncated=cut
        )
        return ReadPayload(payload, text.encode())

    def wide_text(self, wide: WideText) -> ReadPayload:
        """Return a text of wide characters."""
        if wide.end > len(self._data) - _MAX_WIDTH and len(self._data) < self._carrier.total:
            self.wants_more = True
        closing = name_end(self._data, wide.end, self._carrier.total, is_whole=self._carrier.is_whole)
        shown = decode_text(wide.text[: self._limit]) or ""
        payload = self._make(
            PayloadKind.TEXT, wide.start, wide.end - wide.start, header=self._prefix(wide.start), closed_by=closing,
            encoding=wide.coding, text=shown, truncated=len(wide.text) > self._limit,
        )  # fmt: skip
        return ReadPayload(payload, shown.encode())

    def file(
        self,
        kind: PayloadKind,
        start: int,
        size: int | None = None,
        words: str | None = None,
        inside: bytes | None = None,
        encoding: str | None = None,
        closing: str | None = None,
    ) -> ReadPayload:
        """Return a payload that is a file; `inside` is its unwrapped content, `words` describe its header."""
        words = words or self._prefix(start)
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
                # A script is text, and ends like text.
                end = self.runs.find_end(start)
                body, mark = cut_end_mark(self._data[start:end], is_closed=False)
                if mark is None:
                    body = self._data[start : find_likely_end(self._data, start, end)]
                size, closing = len(body), f"end mark {mark!r}" if mark else "the end of the readable text"
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
            assert kind is not None, "unwrapped bytes are text or a file of a known kind"
            return self.file(kind, start, taken, words, shown.body, wrapped, closing)
        payload = self._make(
            PayloadKind.TEXT, start, taken, header=words, closed_by=closing, encoding=f"{wrapped}+utf-8", text=text,
            truncated=shown.cut or len(shown.body) > self._limit,
        )  # fmt: skip
        return ReadPayload(payload, text.encode())

    def unknown(self, zero: int) -> ReadPayload:
        """Return an unknown payload: all bytes of a whole carrier, otherwise those before the first zero."""
        data, start = self._data, self.start
        if self._carrier.is_whole:
            total = self._carrier.total
            closed = self._carrier.take(total)[-1:] == b"\x00"
            return self.opaque(
                start, data[start:], total - start - closed, "a zero byte" if closed else "the end of the file", None
            )
        if zero < 0:
            return self.opaque(start, data[start:], None, None, None)
        if zero == start:
            return self.empty()
        return self.opaque(start, data[start:zero], zero - start, "a zero byte", None)

    def opaque(self, start: int, body: bytes, size: int | None, closing: str | None, words: str | None) -> ReadPayload:
        """Return a payload that cannot be interpreted: ciphertext, or data with less entropy."""
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

    def empty(self) -> ReadPayload:
        """Return an empty payload."""
        return ReadPayload(self._make(PayloadKind.EMPTY, self.start, 0), b"")

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

"""Interprets hidden bytes: text, perhaps with header and end mark, files, archives, ciphertext.

The bytes are untrusted: for any input, time and memory are proportional to the bytes read, and nothing raises.
"""

import re
from typing import Final

from worker.v4.end_marks import CLOSING
from worker.v4.file_kinds import find_strong_kind, recognise_kind
from worker.v4.file_names import is_name, is_word
from worker.v4.header_search import find_header
from worker.v4.headers import DIGESTS, FITS, MAX_WORD, SPELLED, Header, may_be_header
from worker.v4.known_headers import find_digest_header, find_digested_text, find_known_header
from worker.v4.payload_description import MIN_UNCLOSED, Carrier, PayloadDescriber, ReadPayload
from worker.v4.text_runs import TextRuns, decode_text, has_pattern, is_text
from worker.v4.wide_text import find_wide_text

HEAD_BYTES: Final = 4096
"""How many bytes are read first; more are read only if the payload goes on."""

# The fewest bytes of a text run without other evidence: shorter runs occur in any noise.
_MIN_RUN: Final = 16
# The most bytes before such a run.
_MAX_LEAD: Final = 512
# The fewest bits of evidence for a header after a text that a zero closes.
_SURE_BITS: Final = 18
_MAX_VERSION: Final = 4
_MIN_ALPHABET: Final = 6
_FAR_LONGER: Final = 4
# Control characters, except those that texts contain.
_CONTROLS: Final = bytes({*range(1, 32)} - {*b"\t\n\r"})
_MAX_CONTROLS: Final = 8
_MIN_CLOSED: Final = 8
_CHANCE_IN_DIGEST: Final = 5
_MAX_ZEROS_IN_DIGEST: Final = 1
_CHANCE_BEFORE_ZERO: Final = 16
_CHANCE_BEHIND_LENGTH: Final = 3
# The fewest characters at the start that are no chance.
_CHANCE_TEXT: Final = 12


def read_payload_of(carrier: Carrier, limit: int) -> ReadPayload:
    """Return the payload in a carrier; at most `limit` bytes of a text are shown."""
    head = carrier.take(min(carrier.total, HEAD_BYTES))
    reading = _Reading(head, carrier, limit)
    found = reading.understand()
    wanted = min(carrier.total, 2 * limit + HEAD_BYTES)
    if reading.wants_more and wanted > len(head):
        found = _Reading(carrier.take(wanted), carrier, limit).understand()
    return found


class _Reading:
    """Interprets the first bytes of a carrier. `wants_more` says that the payload goes on after them."""

    def __init__(self, data: bytes, carrier: Carrier, limit: int) -> None:
        self._data = data
        self._carrier = carrier
        self._describe = PayloadDescriber(data, carrier, limit)
        self._start = self._describe.start

    @property
    def wants_more(self) -> bool:
        return self._describe.wants_more

    def understand(self) -> ReadPayload:
        """Return the interpretation with the most evidence."""
        data, start = self._data, self._start
        if not data[start:].strip(b"\x00") and len(data) == self._carrier.total:
            return self._describe.empty()
        zero = data.find(0, start)
        if zero < 0 and self._carrier.is_whole and len(data) == self._carrier.total:
            zero = len(data)
        closed = data[start:zero] if zero > start else b""
        kind = recognise_kind(data, start)
        if kind:
            return self._describe.file(kind, start)
        if known := find_known_header(data, start, self._carrier.total):
            return self._behind(known)
        wide = find_wide_text(data, start)
        if wide:
            return self._describe.wide_text(wide)
        if len(closed) > MAX_WORD and is_text(closed) and not may_be_header(data, start, zero):
            # The form that the specification defines; nothing has more evidence.
            return self._describe.text(start, zero)
        if digested := self._read_digested():
            return digested
        header = find_header(data, self._describe.runs, self._carrier.total, is_whole=self._carrier.is_whole)
        end = self._describe.runs.find_end(start)
        if closed and closed[-1] in CLOSING and end == zero - 1:
            zero, closed = end, closed[:-1]
        # After a text that nothing closes, the noise of a picture may contain a zero within a few bytes.
        is_noise = not self._carrier.is_whole and end - start >= MIN_UNCLOSED and 0 < zero - end <= _CHANCE_BEFORE_ZERO
        controls = self._count_controls(closed)
        text_start, text = start + controls, closed[controls:]
        is_text_closed = not is_noise and not has_pattern(text) and decode_text(text) is not None
        if header and header.evidence > FITS and self._precedes(header, end, zero if is_text_closed else None):
            return self._behind(header)
        if behind := self._find_behind_word(end) or self._find_behind_digest(end):
            return self._describe.text(*behind)
        if is_text_closed and (header is None or len(closed) >= MIN_UNCLOSED or self._carrier.is_whole):
            return self._describe.text(text_start, zero)
        if end - start >= MIN_UNCLOSED:
            return self._describe.text(start, end)
        if strong := find_strong_kind(data[:HEAD_BYTES]):
            return self._describe.file(strong[1], strong[0])
        first, last = self._find_run()
        least = self._carrier.total // 2 if self._carrier.is_whole else header.size // 2 if header else 0
        if last - first >= max(_MIN_RUN, least):
            return self._describe.text(first, last)
        if header:
            return self._behind(header)
        if is_text_closed:
            return self._describe.text(text_start, zero)
        return self._describe.unknown(zero)

    def _read_digested(self) -> ReadPayload | None:
        """Return the payload whose digest precedes it, if it is in the data that was read."""
        data, start = self._data, self._start
        if header := find_digest_header(data, start):
            return self._behind(header)
        if found := find_digested_text(data, start, self._describe.runs):
            body = data[found[0] : found[1]]
            words = f"{found[0] - start} bytes, {DIGESTS[found[0] - start]} of the text"
            return self._describe.text_in(found[0], body, len(body), "the digest", words)
        return None

    def _count_controls(self, closed: bytes) -> int:
        """Return how many control characters, of a magic or version, precede the text that a zero closes."""
        text = closed.lstrip(_CONTROLS)
        lead = len(closed) - len(text)
        return lead if lead <= _MAX_CONTROLS and len(text) >= _MIN_CLOSED and is_text(text) else 0

    def _find_run(self) -> tuple[int, int]:
        """Return the longest run of text; one that starts just before a digest's end is cut to start after it."""
        first, last = self._describe.runs.find_longest(_MAX_LEAD)
        lead = self._data[self._start : first]
        if lead.count(0) > _MAX_ZEROS_IN_DIGEST:
            return first, last
        return next((size for size in DIGESTS if 0 <= size - first <= _CHANCE_IN_DIGEST), first), last

    def _find_behind_word(self, end: int) -> tuple[int, int] | None:
        """Return the run of text that follows a short word and a few bytes, such as a magic and a version."""
        first, last = self._describe.runs.find_longest(_MAX_LEAD)
        word, between = end - self._start, self._data[end:first]
        is_word = 0 < word <= MAX_WORD and 0 < len(between) <= _MAX_VERSION and between != b"\x00"
        # `_MIN_ALPHABET` excludes the pattern of a plain picture.
        is_long = last - first >= max(_MIN_RUN, 2 * word) and len(set(self._data[first:last])) >= _MIN_ALPHABET
        return (first, last) if is_word and is_long else None

    def _find_behind_digest(self, end: int) -> tuple[int, int] | None:
        """Return the run of text that follows a digest whose first bytes look like text by chance."""
        first, last = self._find_run()
        chance = end - self._start
        is_behind = first in DIGESTS and 0 < chance < _CHANCE_TEXT and last - first >= max(_MIN_RUN, 2 * chance)
        return (first, last) if is_behind and not self._carrier.is_whole else None

    def _precedes(self, header: Header, end: int, zero: int | None) -> bool:
        """Whether a header has more evidence than the text up to `end`; `zero` is the zero that closes it, if any."""
        if header.start >= end:
            # A magic or name may precede a length; but a short text closed by a zero is usually the payload.
            lines = re.split(rb"[\t\n]", self._data[self._start : min(end, header.at)])
            words = b" ".join(lines).split()
            is_short = sum(map(len, lines)) <= MAX_WORD and (zero is None or len(words) < 2)
            # The first zero may be part of a version, if the word before it is short beside the text after the length.
            is_part = header.has_name or (header.is_text and header.size >= _FAR_LONGER * (end - self._start))
            near = header.at <= zero + (_MAX_VERSION if is_part else 1) if zero is not None else True
            has_name = any(is_name(line) for line in lines)
            return (is_short or has_name) and (near or header.bits >= _SURE_BITS)
        # The length is part of the text, as digits or by chance.
        chance = _CHANCE_BEHIND_LENGTH if header.unit == SPELLED and not self._carrier.is_whole else 0
        ends = zero is None or 0 <= zero - header.end <= chance or zero < header.start
        return header.at == self._start and ends

    def _behind(self, header: Header) -> ReadPayload:
        data = self._data
        if header.end > len(data):
            self._describe.wants_more = True
        words = header.describe(data)
        kind = recognise_kind(data, header.start)
        if kind:
            return self._describe.file(kind, header.start, header.size, words)
        body = data[header.start : header.end]
        if (is_name(body) or is_word(body)) and (further := self._behind_name(header, words)):
            return further
        if decode_text(body) is not None:
            return self._describe.text_in(header.start, body, header.size, "the length", words)
        return self._describe.opaque(header.start, body, header.size, "the length", words)

    def _behind_name(self, header: Header, words: str) -> ReadPayload | None:
        """Return the payload after a file name, if the name is followed by a length that matches the payload."""
        rest = self._data[header.end :]
        runs = TextRuns(rest, is_cut=len(self._data) < self._carrier.total)
        found = find_header(rest, runs, self._carrier.total - header.end, is_whole=self._carrier.is_whole)
        if found is None or found.at or found.evidence == FITS:
            return None
        body = rest[found.start : found.end]
        if decode_text(body) is None:
            return None
        self._describe.wants_more |= found.end > len(rest)
        name = self._data[header.start : header.end].decode("ascii", "replace")
        words = f"{words}, name {name!r}, {found.describe(rest)}"
        return self._describe.text_in(header.end + found.start, body, found.size, "the length", words)

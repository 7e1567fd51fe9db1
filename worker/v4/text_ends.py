"""Finds the end of a text that nothing closes, and that noise or the pattern of a picture follows, partly as text too.

A character at the end belongs to the text if it is more likely there than by chance, which is 1 in 256 for each byte.
A model of the text itself gives that likelihood: which character follows which, and how often new ones occur.
"""

import math
from collections import Counter
from typing import Final

from worker.v4.plain_patterns import is_plain

# The most characters that chance is assumed to add; one more has a probability of 1 in 100,000.
_DOUBTED: Final = 12
# The fewest characters that the model can be built from.
_LEARNT: Final = 48
_MOST_LEARNT: Final = 8192
_BYTE: Final = math.log(256.0)
# The evidence for chance, in nats, that is needed to cut a text, and to cut one that a plain area follows, as noise
# rarely lies between them; and how much more likely, in nats, a text ends with a full stop or bracket than a letter.
_MARGIN: Final = 0.5
_MARGIN_BEFORE_PLAIN: Final = 2.5
_CLOSED: Final = 1.5
_ALPHABET: Final = 96
_FULL_STOPS: Final = frozenset(".!?\n\u3002\uff01\uff1f\u2026")
_CLOSERS: Final = _FULL_STOPS | frozenset("\"')]}>")
# Log probabilities of a full stop, and of a character of a script, that did not occur in the text before.
_NEW_FULL_STOP: Final = math.log(0.01)
_BLOCK: Final = 128
_LATIN: Final = 0x250
_STRANGE: Final = math.log(5e-6)
# Which byte follows which in a plain area: three in turn, in one direction or the other.
_CYCLES: Final = tuple(
    {cycle[place]: bytes([cycle[(place + 1) % 3]]) for place in range(3)}
    for cycle in (b"\x24\x49\x92", b"\x24\x92\x49", b"\x6d\xb6\xdb", b"\x6d\xdb\xb6")
)
_PERIODS: Final = (1, 2, 3)
# How many bytes must repeat to count as a pattern.
_REPEATED: Final = 16


def cut_pattern(data: bytes, start: int, end: int) -> int:
    """Return where the text from `start` to `end` ends without the pattern of a plain picture at its end."""
    text = data[start:end]
    for period in _PERIODS:
        same = end - start
        while same > period and text[same - 1] == text[same - 1 - period]:
            same -= 1
        if len(text) - same >= _REPEATED:
            return max(start, start + same - period)
    return end


def find_likely_end(data: bytes, start: int, end: int) -> int:
    """Return where the text from `start` to `end` of `data`, which nothing closes, most likely ends."""
    end = _cut_plain_area(data, start, _cut_repetition(data, start, end))
    margin = _MARGIN_BEFORE_PLAIN if is_plain(data, end) else _MARGIN
    text = data[max(start, end - 4 * _MOST_LEARNT) : end].decode(errors="ignore")[-_MOST_LEARNT:]
    if len(text) < _LEARNT + _DOUBTED:
        return end
    known, doubted = text[:-_DOUBTED], text[-_DOUBTED:]
    model = _Model(known)
    # From the last character backwards: the gain of cutting the text there.
    gain, most, cut = -_CLOSED * (doubted[-1] in _CLOSERS), margin, 0
    for place in range(len(doubted) - 1, -1, -1):
        before = doubted[place - 1] if place else known[-1]
        gain -= _BYTE * len(doubted[place].encode()) + model.likelihood(before, doubted[place])
        total = gain + _CLOSED * (before in _CLOSERS)
        if total > most:
            most, cut = total, len(doubted) - place
    return end - len(doubted[len(doubted) - cut :].encode())


def _cut_repetition(data: bytes, start: int, end: int) -> int:
    """Return the start of a pattern of a plain picture that continues after the text; `end` if there is none."""
    for period in _PERIODS:
        window = data[end : end + _REPEATED]
        if len(window) < _REPEATED or window[:-period] != window[period:]:
            continue
        while end > start and data[end - 1] == data[end - 1 + period]:
            end -= 1
        break
    return end


def _cut_plain_area(data: bytes, start: int, end: int) -> int:
    """Return the start of the bytes of a plain area, however small, that begins in the text; `end` if there is none.

    It must go on after the text, or have two characters in it: no text ends like that.
    """
    for following in _CYCLES:
        first = end
        while first > start + 1 and following.get(data[first - 1]) == data[first : first + 1]:
            first -= 1
        if first < end:
            return first
        first = end - 1
        while first > start + 1 and following.get(data[first - 1]) == data[first : first + 1]:
            first -= 1
        if first < end - 1:
            return first
    return end


class _Model:
    """A model of a text: its characters, which follows which, and how often new ones occur."""

    def __init__(self, text: str) -> None:
        pairs = [text[place : place + 2] for place in range(len(text) - 1)]
        self._new_pair = _measure_novelty(pairs)
        self._new_character = _measure_novelty(list(text))
        self._pairs = Counter(pairs)
        self._first = Counter(text[:-1])
        self._characters = Counter(text)
        self._length = len(text)
        self._blocks = {ord(character) // _BLOCK for character in self._characters}

    def likelihood(self, before: str, character: str) -> float:
        """Return the log probability that `character` follows `before` in the text."""
        if count := self._pairs[before + character]:
            return math.log((1.0 - self._new_pair) * count / self._first[before])
        if count := self._characters[character]:
            return math.log(self._new_pair * (1.0 - self._new_character) * count / self._length)
        if character in _FULL_STOPS:
            return _NEW_FULL_STOP
        if ord(character) >= _LATIN and ord(character) // _BLOCK not in self._blocks:
            return math.log(self._new_character) + _STRANGE
        return math.log(self._new_character / _ALPHABET)


def _measure_novelty(parts: list[str]) -> float:
    """Return the share of parts in the second half of a text that did not occur before."""
    half = len(parts) // 2
    seen = set(parts[:half])
    new = 0
    for part in parts[half:]:
        new += part not in seen
        seen.add(part)
    return (new + 0.5) / (len(parts) - half + 1.0)

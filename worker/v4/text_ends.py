"""Where a text ends that nothing closes: behind it stands noise or the pattern of a picture, some of which is text too.

A character at the end belongs to the text if that makes it likelier than chance does, which takes each byte for one of
256. How likely it is in the text, the text itself tells: what follows what in it, and how often something new comes.
"""

import math
from collections import Counter
from typing import Final

# Characters that chance may have added, at most: one more has one chance in a hundred thousand.
_DOUBTED: Final = 12
# Fewer characters tell nothing of the others.
_LEARNT: Final = 48
_MOST_LEARNT: Final = 8192
_BYTE: Final = math.log(256.0)
# What must stand for chance, in nats, before something is taken away from a text; and how much likelier a text ends
# with a full stop or bracket than with any letter.
_MARGIN: Final = 0.5
_CLOSED: Final = 1.5
_ALPHABET: Final = 96
_FULL_STOPS: Final = frozenset(".!?\n\u3002\uff01\uff1f\u2026")
_CLOSERS: Final = _FULL_STOPS | frozenset("\"')]}>")
# A full stop that a text did not have yet, and a character of a script that it did not have yet.
_NEW_FULL_STOP: Final = math.log(0.01)
_BLOCK: Final = 128
_LATIN: Final = 0x250
_STRANGE: Final = math.log(5e-6)
_PERIODS: Final = (1, 2, 3)
# Bytes that have to repeat themselves.
_REPEATED: Final = 16


def cut_pattern(data: bytes, start: int, end: int) -> int:
    """Return where the text from `start` to `end` ends if what it ends with is but the pattern of a plain picture."""
    text = data[start:end]
    for period in _PERIODS:
        same = end - start
        while same > period and text[same - 1] == text[same - 1 - period]:
            same -= 1
        if len(text) - same >= _REPEATED:
            return max(start, start + same - period)
    return end


def find_likely_end(data: bytes, start: int, end: int) -> int:
    """Return where the text from `start` to `end` of `data` most likely ends, given that nothing there closes it."""
    end = _cut_repetition(data, start, end)
    text = data[max(start, end - 4 * _MOST_LEARNT) : end].decode(errors="ignore")[-_MOST_LEARNT:]
    if len(text) < _LEARNT + _DOUBTED:
        return end
    known, doubted = text[:-_DOUBTED], text[-_DOUBTED:]
    model = _Model(known)
    # From the last character back: what is gained by giving all of them up.
    gain, most, cut = -_CLOSED * (doubted[-1] in _CLOSERS), _MARGIN, 0
    for place in range(len(doubted) - 1, -1, -1):
        before = doubted[place - 1] if place else known[-1]
        gain -= _BYTE * len(doubted[place].encode()) + model.likelihood(before, doubted[place])
        total = gain + _CLOSED * (before in _CLOSERS)
        if total > most:
            most, cut = total, len(doubted) - place
    return end - len(doubted[len(doubted) - cut :].encode())


def _cut_repetition(data: bytes, start: int, end: int) -> int:
    """Return where bytes begin that go on behind the text as the pattern of a plain picture; `end` if they do not."""
    for period in _PERIODS:
        window = data[end : end + _REPEATED]
        if len(window) < _REPEATED or window[:-period] != window[period:]:
            continue
        while end > start and data[end - 1] == data[end - 1 + period]:
            end -= 1
        break
    return end


class _Model:
    """What a text has told of itself: its characters, what follows each, and how often something new does."""

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
        """Return the logarithm of the probability that the text goes on with a character behind another."""
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
    """Return how often, in the second half of a text, something stands that did not stand there before."""
    half = len(parts) // 2
    seen = set(parts[:half])
    new = 0
    for part in parts[half:]:
        new += part not in seen
        seen.add(part)
    return (new + 0.5) / (len(parts) - half + 1.0)

"""How likely a character is in a text, judged by that text, and a byte in a picture, judged by the picture's bytes."""

import math
import string
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

FULL_STOPS: Final = frozenset(".!?\n\u3002\uff01\uff1f\u2026")
"""Characters that may end a sentence."""
# The least log probability of a full stop, and that of a script that did not occur before.
_NEW_FULL_STOP: Final = math.log(0.01)
_NEW_SCRIPT: Final = math.log(5e-4)
# Kinds of ASCII characters by their numbers; 0 is everything else, about 22 symbols.
_ASCII_SETS: Final = (string.ascii_lowercase, string.ascii_uppercase, string.digits, " ", "\t\n\r", ".,;:!?'\"-()")
_ASCII_KIND: Final = {character: kind for kind, each in enumerate(_ASCII_SETS, 1) for character in each}
_ASCII_SIZES: Final = (22, *map(len, _ASCII_SETS))
_BLOCK: Final = 128
# First and last code of scripts with many characters, and how many of them are usual: Han, Hangul, pictographs.
_LARGE: Final = ((0x3400, 0x9FFF, 4000), (0xAC00, 0xD7FF, 4000), (0x1F000, 0x1FAFF, 1024))
_LARGE_SIZES: Final = {first: size for first, _, size in _LARGE}
# How often each kind, each kind after another and each character of a kind is assumed to have occurred before the text.
_OF_KIND: Final = 1.0
_OF_KIND_AFTER: Final = 4.0
_OF_CHARACTER: Final = 1.0
# The same of a picture's bytes: all of them, and those before a certain byte.
_OF_BYTES: Final = 256.0
_OF_BYTES_BEFORE: Final = 8.0


class TextModel:
    """A model of a text: which character follows which, which kind follows which, and how often new ones occur."""

    def __init__(self, text: str) -> None:
        pairs = list(pairwise(text))
        kinds = [_kind(character) for character in text]
        self._new_pair = _measure_novelty(pairs)
        self._pairs = Counter(pairs)
        self._first = Counter(text[:-1])
        self._characters = Counter(text)
        self._kind_pairs = Counter(pairwise(kinds))
        self._first_kinds = Counter(kinds[:-1])
        self._kinds = Counter(kinds)
        self._length = len(text)

    def likelihood(self, before: str, character: str) -> float:
        """Return the log probability that `character` follows `before` in the text."""
        if count := self._pairs[before, character]:
            return math.log((1.0 - self._new_pair) * count / self._first[before])
        first, kind = _kind(before), _kind(character)
        size = _size(kind)
        if kind >= len(_ASCII_SIZES) and kind not in self._kinds:
            return math.log(self._new_pair / size) + _NEW_SCRIPT
        share = (self._kinds[kind] + _OF_KIND) / (self._length + _OF_KIND * len(_ASCII_SIZES))
        follows = (self._kind_pairs[first, kind] + _OF_KIND_AFTER * share) / (self._first_kinds[first] + _OF_KIND_AFTER)
        of_kind = (self._characters[character] + _OF_CHARACTER) / (self._kinds[kind] + _OF_CHARACTER * size)
        likely = math.log(self._new_pair * follows * of_kind)
        return max(likely, _NEW_FULL_STOP) if character in FULL_STOPS else likely


class PictureModel:
    """A model of a picture's hidden bits as bytes: how often each occurs, and which precedes which."""

    def __init__(self, data: bytes) -> None:
        self._pairs = Counter(pairwise(data))
        self._second = Counter(data[1:])
        self._bytes = Counter(data)
        self._length = len(data)

    def likelihood(self, byte: int, behind: int | None) -> float:
        """Return the log probability of `byte` before the byte `behind`, which is None if nothing follows."""
        alone = (self._bytes[byte] + _OF_BYTES / 256.0) / (self._length + _OF_BYTES)
        if behind is None:
            return math.log(alone)
        pairs = self._pairs[byte, behind] + _OF_BYTES_BEFORE * alone
        return math.log(pairs / (self._second[behind] + _OF_BYTES_BEFORE))


def _kind(character: str) -> int:
    """Return the kind of a character: those of ASCII, then a number for each block or large script."""
    code = ord(character)
    if code < 128:
        return _ASCII_KIND.get(character, 0)
    return next((first for first, last, _ in _LARGE if first <= code <= last), code // _BLOCK + len(_ASCII_SIZES))


def _size(kind: int) -> int:
    """Return how many characters are of a kind."""
    return _ASCII_SIZES[kind] if kind < len(_ASCII_SIZES) else _LARGE_SIZES.get(kind, _BLOCK)


def _measure_novelty(parts: Sequence[object]) -> float:
    """Return the share of parts in the second half of a text that did not occur before."""
    half = len(parts) // 2
    seen = set(parts[:half])
    new = 0
    for part in parts[half:]:
        new += part not in seen
        seen.add(part)
    return (new + 0.5) / (len(parts) - half + 1.0)

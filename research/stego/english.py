"""English sentences that people wrote: those of Python's own manual, which comes with every Python."""

import re
from functools import cache
from typing import Final

import numpy as np

Rng = np.random.Generator

_LONGEST: Final = 300
_SENTENCE: Final = re.compile(rf"[A-Z][a-z].{{20,{_LONGEST}}}[.!?:]")
_ENDS: Final = re.compile(r"(?<=[.!?:]) (?=[A-Z])")
_FROM_WITHIN: Final = 0.7
"""Share of the texts that start within a sentence, for a greater variety of first words."""
_MARKS: Final = str.maketrans("", "", '*"')
"""Removes what the manual marks names with."""


def draw_english(rng: Rng, size: int) -> str:
    """Draw consecutive sentences of about `size` bytes or less, at least one word."""
    sentences = _find_sentences()
    number = int(rng.integers(len(sentences)))
    words = sentences[number].split()
    if rng.random() < _FROM_WITHIN:
        words = words[int(rng.integers(len(words) - 1)) :]
        words[0] = words[0].capitalize()
    text = " ".join(words)
    while len(text.encode()) < size and number + 1 < len(sentences):
        number += 1
        text += " " + sentences[number]
    return (text.translate(_MARKS) if rng.random() < 0.5 else text) + " "


@cache
def _find_sentences() -> tuple[str, ...]:
    # Here: it is large, and few programs need it.
    from pydoc_data.topics import topics

    paragraphs = (" ".join(each.split()) for _, topic in sorted(topics.items()) for each in re.split(r"\n\s*\n", topic))
    return tuple(part for each in paragraphs for part in _ENDS.split(each) if _SENTENCE.fullmatch(part))

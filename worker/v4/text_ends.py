"""Finds the end of a text that nothing closes, and that noise or the pattern of a picture follows, partly as text too.

A character at the end belongs to the text if it is more likely there than in the picture. A model of the text gives the
one likelihood: which character follows which, and how often new ones occur. The bytes after the text, which are the
picture's own, give the other: which byte precedes which, and how often each occurs; in pure noise that is 1 in 256.
"""

from typing import Final

from worker.v4.plain_patterns import is_plain
from worker.v4.text_likelihood import FULL_STOPS, PictureModel, TextModel

# The most characters that chance is assumed to add (one more has a probability of 1 in 100,000), and the largest share
# of a text, because the rest must be enough to learn from.
_DOUBTED: Final = 12
_DOUBTED_SHARE: Final = 0.25
# The fewest and the most characters that the model of a text is built from, and how many bytes that of the picture.
_LEARNT: Final = 8
_MOST_LEARNT: Final = 8192
_PICTURE_BYTES: Final = 1024
# The evidence for chance, in nats, that is needed to cut a text, and to cut one that a plain area follows, as noise
# rarely lies between them; and how much more likely, in nats, a text ends with a full stop or bracket than a letter.
_MARGIN: Final = 0.5
_MARGIN_BEFORE_PLAIN: Final = 2.5
_CLOSED: Final = 1.5
_CLOSERS: Final = FULL_STOPS | frozenset("\"')]}>")
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
    count = min(_DOUBTED, int(len(text) * _DOUBTED_SHARE))
    if len(text) - count < _LEARNT:
        return end
    known, doubted = text[:-count], text[-count:]
    model, picture = TextModel(known), PictureModel(data[end : end + _PICTURE_BYTES])
    behind = data[end] if end < len(data) else None
    # From the last character backwards: the gain of cutting the text there.
    gain, most, cut = -_CLOSED * (doubted[-1] in _CLOSERS), margin, 0
    for place in range(len(doubted) - 1, -1, -1):
        before = doubted[place - 1] if place else known[-1]
        for byte in reversed(doubted[place].encode()):
            gain += picture.likelihood(byte, behind)
            behind = byte
        gain -= model.likelihood(before, doubted[place])
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

"""The end marks that tools write after a text: zero bytes, control characters, words and symbols."""

import re
from typing import Final

from worker.v4.plain_patterns import is_plain

_WORDS: Final = rb"(?:END|EOF|EOM|EOT|STOP|DONE|FIN)(?:[ _-]?(?:OF[ _-]?)?(?:MESSAGE|MSG|FILE|DATA|TEXT))?"
_SURE: Final = "sure"
"""The group of marks that occur in no text: symbols before a word are mirrored behind it."""
_SLASH: Final = "slash"
_MARK: Final = re.compile(
    rb"(?P<sure><{1,5}/?\s?" + _WORDS + rb"\s?/?>{1,5}|\[{1,5}/?\s?" + _WORDS + rb"\s?\]{1,5}"
    rb"|\{{1,5}\s?" + _WORDS + rb"\s?\}{1,5}|\({1,5}\s?" + _WORDS + rb"\s?\){1,5}"
    rb"|(?P<symbol>[|#_*=/\\~$%@-])(?P=symbol){0,4}\s?" + _WORDS + rb"\s?(?P=symbol){1,5}"
    rb"|#{5,}|\$t3g0|(?:\*\^){2,}\*)"
    rb"|#{3,}|={5,}|\${3,}|%{3,}|@{3,}|~{3,}|\|{3,}|&{3,}|\^{3,}"
    rb"|(?<!-----BEGIN KEY)(?<!-)-{3,}|!{3,}|\n{3,}|\xde\xad\Z|(?P<slash>(?<![0-9])/0)(?![0-9.])"
    # Without symbols around it, where no word of a sentence can be.
    rb"|(?-i:(?:(?<=[a-z0-9\x80-\xbf.,;:!?)\]}\"'/-])|(?<=[a-z0-9\x80-\xbf.,;:!?)\]}\"'-]\s)|(?<=\s\s\s))(?:END|EOF)"
    rb"|(?<=[A-Z])EOF)"
    # Directly after another character, where it is not the end of an English word.
    rb"|(?-i:(?<=[A-Za-z0-9\x80-\xbf.,;:!?)\]}>\"'])(?<!non)(?<!back)(?<!door)(?<!short)(?<!bus)stop(?![a-z]))",
    re.IGNORECASE,
)
# How many characters of noise may be between a mark and the end of what looks like text.
_CHANCE: Final = 12
_CHANCE_BEFORE_ZERO: Final = 1
_CHANCE_BEHIND_SLASH: Final = 3
_TAIL: Final = 64
CLOSING: Final = b"\x03\x04\x1a\x1f"
"""Control characters that end a text, with or without a zero after them."""
_NAMES: Final = {
    0x00: "a zero byte",
    0x03: "end of text (03)",
    0x04: "end of transmission (04)",
    0x1A: "Ctrl-Z (1a)",
    0x1F: "unit separator (1f)",
}


def cut_end_mark(text: bytes, *, is_closed: bool) -> tuple[bytes, str | None]:
    """Return the text without the mark at its end, and the mark, None if there is none.

    If nothing else closes the text (`is_closed` is false), the mark may be up to 12 characters before the end.
    """
    tail = text[-_TAIL:]
    found = None
    for match in _MARK.finditer(tail):
        behind = len(tail) - match.end()
        chance = _CHANCE_BEFORE_ZERO if is_closed and match[_SURE] is None else _CHANCE
        if match[_SLASH]:
            chance = 0 if is_closed else _CHANCE_BEHIND_SLASH
        if match.start() + len(text) > len(tail) and behind <= chance:
            found = match
    if found is None:
        return text, None
    return text[: len(text) - len(tail) + found.start()], found.group().decode("latin-1")


def name_end(data: bytes, end: int, total: int, *, is_whole: bool) -> str | None:
    """Describe what closes a text that ends at `end` of `total` bytes; None if nothing does."""
    if end < len(data):
        if data[end : end + 2] in (b"\xff\xfe", b"\xfe\xff", b"\xff\xff") and not is_plain(data, end):
            return f"end mark {data[end : end + 2].hex()}"
        return _NAMES.get(data[end])
    if end < total:
        return None
    return "the end of the file" if is_whole else "the end of the carrier"

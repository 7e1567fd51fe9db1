"""Draws payloads of many kinds, like those that people and programs hide in pictures."""

import base64
import json
import string
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from research.stego.english import draw_english
from research.stego.languages import LATIN, SCRIPT_BLOCKS, SPACED, UNSPACED

Rng = np.random.Generator

SHORTEST: Final = 4
LONGEST: Final = 4096


def draw_size(rng: Rng, longest: int = LONGEST) -> int:
    """Draw a payload size in bytes, log-uniform between `SHORTEST` and `longest`."""
    low, high = np.log(SHORTEST), np.log(max(SHORTEST, min(longest, LONGEST)) + 1)
    return int(np.exp(rng.uniform(low, high)))


def draw_text(rng: Rng, size: int, kind: str | None = None) -> bytes:
    """Draw UTF-8 text of one of `TEXT_KINDS`, of `size` bytes or fewer if the last character does not fit."""
    maker = TEXT_KINDS[kind or TEXT_NAMES[rng.choice(len(TEXT_NAMES), p=_TEXT_SHARES)]]
    parts = []
    length = 0
    while length < size:
        part = maker(rng, size - length)
        parts.append(part)
        length += len(part.encode())
    text = "".join(parts).encode()[:size].decode(errors="ignore")
    # If the first character of a script does not fit, nothing is left.
    return text.encode() or b"text"[:size]


def draw_binary(rng: Rng, size: int) -> bytes:
    """Draw bytes without text structure: random or compressed, some with the header of a known format."""
    kind = rng.integers(5)
    noise = rng.bytes(size)
    if kind == 0:
        return zlib.compress(draw_text(rng, size * 3), 9)[:size].ljust(size, noise[:1])
    if kind == 1:
        headers = (
            b"Salted__",
            b"PK\x03\x04\x14\x00",
            b"\x1f\x8b\x08\x00",
            b"\x89PNG\r\n\x1a\n",
            b"7z\xbc\xaf'\x1c",
            b"\x85\x01\x8c\x03",
        )
        return (headers[rng.integers(len(headers))] + noise)[:size]
    return noise


def _prose(rng: Rng, size: int) -> str:
    roll = rng.random()
    if roll < 0.55:
        words = _WORDS[_LATIN_NAMES[rng.choice(len(_LATIN_NAMES), p=_LATIN_SHARES)]]
    elif roll < 0.8:
        words = _WORDS[_SPACED_NAMES[rng.integers(len(_SPACED_NAMES))]]
    else:
        return _unspaced(rng, size)
    return _sentences(rng, words, size)


def _any_script(rng: Rng, size: int) -> str:
    """Draw text in a script, each with equal probability; languages would be mostly Latin."""
    number = int(rng.integers(1 + len(SPACED) + 2 * len(UNSPACED)))
    if number == 0:
        return _sentences(rng, _WORDS[_LATIN_NAMES[rng.integers(1, len(_LATIN_NAMES))]], size)
    if number <= len(SPACED):
        return _sentences(rng, _WORDS[_SPACED_NAMES[number - 1]], size)
    return _unspaced(rng, size)


def _sentences(rng: Rng, words: list[str], size: int) -> str:
    chosen = [words[index] for index in rng.integers(len(words), size=size // 4 + 2)]
    for position in range(0, len(chosen), int(rng.integers(4, 16))):
        if position:
            chosen[position - 1] += (".", ".", ".", ",", "!", "?", ":", ";", ".\n", " -")[rng.integers(10)]
        chosen[position] = chosen[position].capitalize()
    style = rng.random()
    text = " ".join(chosen) + " "
    return text.upper() if style < 0.04 else text.lower() if style < 0.14 else text


def _unspaced(rng: Rng, size: int) -> str:
    if rng.random() < 0.3:
        first, last = SCRIPT_BLOCKS[rng.integers(len(SCRIPT_BLOCKS))]
        letters = [chr(code) for code in rng.integers(first, last + 1, size=size // 2 + 2)]
        for position in range(int(rng.integers(2, 9)), len(letters), int(rng.integers(3, 9))):
            letters[position] = " "
        return "".join(letters)
    alphabet = UNSPACED[tuple(UNSPACED)[rng.integers(len(UNSPACED))]]
    text = "".join(alphabet[index] for index in rng.integers(len(alphabet), size=size // 3 + 2))
    step = int(rng.integers(6, 24))
    return "".join(text[start : start + step] + _FULL_STOPS[rng.integers(4)] for start in range(0, len(text), step))


def _letters(rng: Rng, size: int) -> str:
    """Draw random words, so that the network does not memorise the word lists."""
    alphabet = string.ascii_lowercase if rng.random() < 0.6 else string.ascii_letters + string.digits + "_-'."
    letters = [alphabet[index] for index in rng.integers(len(alphabet), size=size + 1)]
    step = int(rng.integers(3, 12))
    for position in range(step, len(letters), step):
        letters[position] = " "
    return "".join(letters)


def _identifier(rng: Rng) -> str:
    words = _WORDS["en"]
    joint = ("_", "", "-", ".")[rng.integers(4)]
    return joint.join(words[index] for index in rng.integers(len(words), size=rng.integers(1, 4)))


def _json(rng: Rng, size: int) -> str:
    record: dict[str, object] = {}
    for _ in range(size // 24 + 1):
        kind = rng.integers(5)
        value: object = _sentences(rng, _WORDS["en"], int(rng.integers(4, 60))).strip()
        if kind == 1:
            value = int(rng.integers(10**6))
        elif kind == 2:
            value = [_identifier(rng) for _ in range(rng.integers(1, 4))]
        elif kind == 3:
            value = bool(rng.integers(2))
        elif kind == 4:
            value = {_identifier(rng): float(np.round(rng.normal(), 4))}
        record[_identifier(rng)] = value
    return json.dumps(record, indent=(None, 2, 4)[rng.integers(3)], ensure_ascii=bool(rng.integers(2)))


_FULL_STOPS: Final = "\uff0c\u3002\u3001\uff01"

_CODE: Final = (
    "def {a}({b}, {c}=None):\n    return {b}.{d}({c})\n\n",
    "for {a} in range({n}):\n    print({b}[{a}])\n",
    "function {a}({b}) {{ return {b}.{c} + {n}; }}\n",
    "const {a} = await fetch('{u}');\n",
    "#include <{a}.h>\nint main(void) {{ {b}({n}); return 0; }}\n",
    "SELECT {a}, {b} FROM {c} WHERE {d} = {n};\n",
    "#!/bin/sh\ncurl -s {u} | sh\n",
    "import {a}\nfrom {b} import {c}\n",
    '<div class="{a}"><a href="{u}">{b}</a></div>\n',
    '<?xml version="1.0"?><{a} {b}="{n}">{c}</{a}>\n',
    "eval(base64_decode('{a}'));\n",
    "{a}: {n}\n{b}:\n  - {c}\n  - {d}\n",
    "if ({a} > {n}) {{\n\t{b} = {c};\n}}\n",
    "<script>{a}('{b}')</script>\n",
    "powershell -enc {a} -NoProfile\n",
    "{a}={b};{c}={d}\n",
)


def _code(rng: Rng, size: int) -> str:
    del size
    template = _CODE[rng.integers(len(_CODE))]
    names = {name: _identifier(rng) for name in "abcd"}
    return template.format(**names, n=rng.integers(1000), u=_url(rng, 0).strip())


def _url(rng: Rng, size: int) -> str:
    del size
    scheme = ("https://", "http://", "ftp://", "www.", "s3://", "magnet:?xt=urn:", "mailto:")[rng.integers(7)]
    host = _identifier(rng) + (".com", ".org", ".net", ".onion", ".ru", ".io", "@mail.com")[rng.integers(7)]
    tail = "/".join(_identifier(rng) for _ in range(rng.integers(0, 4)))
    query = f"?{_identifier(rng)}={rng.integers(10**9)}" if rng.random() < 0.4 else ""
    return f"{scheme}{host}/{tail}{query}" + ("\n", " ")[rng.integers(2)]


def _base64(rng: Rng, size: int) -> str:
    raw = rng.bytes(size) if rng.random() < 0.6 else _prose(rng, size).encode()
    encode = base64.b64encode if rng.random() < 0.8 else base64.b32encode
    return encode(raw[: max(3, size * 3 // 4)]).decode()


def _hex(rng: Rng, size: int) -> str:
    text = (
        rng.bytes(size // 2 + 1).hex((":", " ", "-")[rng.integers(3)])
        if rng.random() < 0.2
        else rng.bytes(size // 2 + 1).hex()
    )
    return text.upper() if rng.random() < 0.3 else text


def _token(rng: Rng, size: int) -> str:
    prefix = ("sk-", "ghp_", "AKIA", "xoxb-", "0x", "bc1q", "flag{", "CTF{", "key=", "-----BEGIN KEY-----\n", "")[
        rng.integers(11)
    ]
    alphabet = string.ascii_letters + string.digits
    return prefix + "".join(alphabet[index] for index in rng.integers(len(alphabet), size=size + 1))


def _numbers(rng: Rng, size: int) -> str:
    separator = (" ", ",", ", ", "\n", "-", ";", "")[rng.integers(7)]
    return (
        separator.join(str(value) for value in rng.integers(10 ** rng.integers(1, 7), size=size // 3 + 2)) + separator
    )


_WORDS: Final = {name: words.split() for name, words in {**LATIN, **SPACED}.items()}
_LATIN_NAMES: Final = tuple(LATIN)
_SPACED_NAMES: Final = tuple(SPACED)
_LATIN_SHARES: Final = np.array([0.46] + [0.06] * 9)

TEXT_KINDS: Final[dict[str, Callable[[Rng, int], str]]] = {
    "prose": _prose,
    "english": draw_english,
    "any script": _any_script,
    "letters": _letters,
    "json": _json,
    "code": _code,
    "url": _url,
    "base64": _base64,
    "hex": _hex,
    "token": _token,
    "numbers": _numbers,
}
"""Functions that draw text: each returns at least one character, and about the given size or less."""
TEXT_NAMES: Final = tuple(TEXT_KINDS)
_TEXT_SHARES: Final = np.array([0.23, 0.16, 0.08, 0.06, 0.09, 0.09, 0.06, 0.09, 0.05, 0.06, 0.03])

"""Draws payloads to append to pictures: text without a final zero byte, and files of every kind."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from research.stego.archives import FILE_KINDS, make_file
from research.stego.headers import ORDERS, draw_length, draw_magic, write_length
from research.stego.payloads import draw_text
from research.stego.programs import draw_code
from research.stego.trailers import append_kind

Rng = np.random.Generator

TEXT_TAILS: Final = ("text without a zero", "text with newlines", "text before a footer")
MARKED: Final = "marked ciphertext"
HEADED: Final = "ciphertext behind a magic and a length"
TAIL_WRITERS: Final = (*TEXT_TAILS, *FILE_KINDS, MARKED, HEADED)
"""Names of everything that can be appended."""
# WebAssembly, fonts, archives, RTF, LUKS, Matroska, Avro, HDF, captures, KeePass, Ogg, MP3, Mach-O of 32 bits.
_OTHER_SIGNATURES: Final = (
    "0061736d01000000", "774f4646", "774f4632", "78617221", "7b5c727466", "4c554b53babe", "1a45dfa3", "4f626a01",
    "213c617263683e0a", "894844460d0a1a0a", "d4c3b2a1", "a1b2c3d4", "0a0d0d0a", "03d9a29a", "4f676753", "494433",
    "4c525a49", "4c5a4950", "feedface", "cefaedfe",
)  # fmt: skip
_MARKS: Final = (
    "SECRET", "STEGO", "HIDDEN", "DATA", "MESSAGE", "PAYLOAD", "ENC", "CIPHER", "MSG", "VAULT", "CRYPT", "X", "FILE",
)  # fmt: skip
_BINARY: Final = frozenset(FILE_KINDS) - {"script"}


@dataclass(frozen=True, slots=True)
class Tail:
    """Bytes `written` after a picture's end, the `payload` in them, and the name of their `writer`.

    `binary` means that the payload is not text.
    """

    written: bytes
    payload: bytes
    binary: bool
    writer: str

    @property
    def looks_declared(self) -> bool:
        """Whether it is a picture, like the companions that files declare."""
        return self.writer in ("jpeg", "png", "gif")


def draw_tail(rng: Rng, writer: str, size: int) -> Tail:
    """Draw a tail of one of `TAIL_WRITERS`, with about `size` bytes of content.

    Raises `RuntimeError` if a library that the kind needs is not installed.
    """
    if writer == "text without a zero":
        text = draw_text(rng, size)
        return Tail(text, text, False, writer)
    if writer == "text with newlines":
        text = _lines(rng, size)
        before, after = (b"", b"\n", b"\r\n", b"\n\n")[rng.integers(4)], (b"\n", b"\r\n", b"\n\n", b"")[rng.integers(4)]
        return Tail(before + text + after, text, False, writer)
    if writer == "text before a footer":
        text = draw_text(rng, size)
        return Tail(text + _footer(rng, len(text)), text, False, writer)
    if writer in (MARKED, HEADED):
        made = _marked_ciphertext(rng, size) if writer == MARKED else _headed_ciphertext(rng, size)
        return Tail(made, made, True, writer)
    made = make_file(rng, writer, size)
    return Tail(made, made, writer in _BINARY, writer)


def draw_unknown_file(rng: Rng, size: int) -> Tail:
    """Draw a file with a known signature and arbitrary content, so that the network relies on the signature."""
    start = bytes.fromhex(_OTHER_SIGNATURES[rng.integers(len(_OTHER_SIGNATURES))])
    roll = rng.random()
    if roll < 0.3:
        body = rng.bytes(size)
    elif roll < 0.6:
        body = draw_code(rng, size)
    elif roll < 0.8:
        body = append_kind(rng, b"", "camera's records")
    else:
        body = bytes(int(rng.integers(1, 32))) + draw_text(rng, size)
    return Tail(start + body, start + body, True, "another file")


def _footer(rng: Rng, size: int) -> bytes:
    """Draw what programs write at the end of a file to find a payload of `size` bytes: its length and a magic."""
    length = write_length(size, int(rng.choice([2, 4, 4, 8, 8])), ORDERS[rng.integers(2)], "bytes")
    magic = draw_magic(rng)
    zero = (b"", b"", b"\x00")[rng.integers(3)]
    return zero + (length + magic, magic + length, length, magic)[rng.choice(4, p=(0.5, 0.25, 0.15, 0.1))]


def _marked_ciphertext(rng: Rng, size: int) -> bytes:
    """Draw ciphertext, perhaps after its salt, between marks that programs search for."""
    name = _MARKS[rng.integers(len(_MARKS))]
    around = ("{}_{}", "<{} {}>", "<<{}_{}>>", "---{} {}---", "###{}_{}###", "[{}:{}]", "{}{}", "::{}_{}::")
    form = around[rng.integers(len(around))]
    start, end = (form.format(word, name).encode() for word in (("START", "END"), ("BEGIN", "END"))[rng.integers(2)])
    return start + _salted(rng, size) + end


def _headed_ciphertext(rng: Rng, size: int) -> bytes:
    """Draw ciphertext, perhaps after its salt, behind a magic and a length, which may not count the salt.

    Sometimes there is no magic, but a length of everything that follows.
    """
    body = _salted(rng, size)
    if rng.random() < 0.15:
        return draw_length(rng, len(body), (4, 4, 8)) + body
    return draw_magic(rng) + draw_length(rng, len(body) if rng.random() < 0.6 else size) + body


def _salted(rng: Rng, size: int) -> bytes:
    """Draw `size` bytes of ciphertext, mostly after a salt."""
    salt = rng.bytes(int(rng.choice([8, 12, 16, 32]))) if rng.random() < 0.6 else b""
    between = (b"SALT", b":", b"|", b"")[rng.integers(4)] if salt else b""
    return salt + between + rng.bytes(size)


def _lines(rng: Rng, size: int) -> bytes:
    """Draw lines of text with Unix or Windows newlines."""
    newline = (b"\n", b"\n", b"\r\n")[rng.integers(3)]
    lines: list[bytes] = []
    while sum(map(len, lines)) < size:
        lines.append(draw_text(rng, int(rng.integers(4, 80))).replace(b"\n", b" ").strip() or b"text")
    return newline.join(lines)

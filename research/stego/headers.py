"""Formats in which programs write a payload: lengths, end marks, magic numbers, file names, digests, encodings.

They are the formats of published programs (stegano, LSB-Steganography, cloacked-pixel, OpenStego, stego-lsb) and of
scripts that follow common tutorials.
"""

import base64
import hashlib
import string
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from research.stego.payloads import draw_text

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Writing:
    """The bytes `written` into a carrier from its first sample on, and the `payload` in them.

    `binary` means that they contain no text.
    """

    written: bytes
    payload: bytes
    binary: bool = False


ORDERS: Final = ("big", "little")
UNITS: Final = ("bytes", "bits")
END_MARKS: Final = (
    b"#####", b"$t3g0", b"###", b"=====", b"<EOF>", b"EOF", b"\xff\xfe", b"\xff\xff", b"\xff\xff\xff\xff", b"\x03",
    b"\x04", b"END", b"<END>", b"|||", b"~~~", b"\n\n\n", b"-----END-----", b"*^*^*", b"\xfe", b"@@@", b"[END]",
    b"%%%", b"\x00\x00\x00", b"/0", b"---", b"\xde\xad\xbe\xef", b"stop", b"!!!",
)  # fmt: skip
MAGICS: Final = (
    b"STEG", b"STEGO", b"LSB1", b"LSB", b"HIDE", b"SECR", b"DATA", b"MSG", b"\x89HID", b"IMGH", b"\xca\xfe\xba\xbe",
    b"PIXL", b"PSTG", b"SLNT", b"Spix", b"\x01\x02\x03\x04", b"AI42", b"\xde\xad\xbe\xef", b"TXT\x00", b"stego",
)  # fmt: skip
FILE_NAMES: Final = (
    "secret", "message", "notes", "data", "payload", "hidden", "plan", "readme", "passwords", "report", "key", "flag",
)  # fmt: skip
SUFFIXES: Final = (".txt", ".txt", ".txt", ".bin", ".zip", ".md", ".json", ".csv", ".py", "")
_SEPARATORS: Final = (":", ":", ":", ":", ";", "|", " ", "#", "\n", ",", "::", "$")
_DIGESTS: Final = ("sha256", "sha256", "sha256", "md5", "sha1", "sha512")


def write_length(size: int, width: int, order: str, unit: str) -> bytes:
    """Return the length of a payload of `size` bytes in `width` bytes, truncated if they cannot hold it."""
    value = size * (8 if unit == "bits" else 1)
    return (value & (1 << 8 * width) - 1).to_bytes(width, "big" if order == "big" else "little")


def draw_length(rng: Rng, size: int, widths: tuple[int, ...] = (2, 3, 4, 4, 4, 8)) -> bytes:
    """Draw a length field that can hold `size`, with a width in bytes from `widths`."""
    width = int(rng.choice(widths))
    unit = UNITS[int(rng.random() < 0.35)]
    if size * 8 >= 1 << 8 * width:
        width, unit = 4, "bytes"
    return write_length(size, width, ORDERS[rng.integers(2)], unit)


def draw_name(rng: Rng) -> bytes:
    """Draw a file name."""
    if rng.random() < 0.4:
        letters = string.ascii_lowercase + string.digits + "_-"
        stem = "".join(letters[index] for index in rng.integers(len(letters), size=int(rng.integers(1, 14))))
    else:
        stem = FILE_NAMES[rng.integers(len(FILE_NAMES))]
    return (stem + SUFFIXES[rng.integers(len(SUFFIXES))]).encode() or b"a"


def _no_end(rng: Rng, text: bytes) -> bytes:
    del rng
    return text


def _end_mark(rng: Rng, text: bytes) -> bytes:
    return text + END_MARKS[rng.integers(len(END_MARKS))]


def _decimal(rng: Rng, text: bytes) -> bytes:
    size = len(text) * (8 if rng.random() < 0.2 else 1)
    form = ("{:d}", "{:d}", "{:d}", "{:08d}", "{:x}", "{:04d}", "len={:d}")[rng.integers(7)]
    return (form.format(size) + _SEPARATORS[rng.integers(len(_SEPARATORS))]).encode() + text


def _magic(rng: Rng, text: bytes) -> bytes:
    length = draw_length(rng, len(text)) if rng.random() < 0.8 else b""
    return draw_magic(rng) + length + text


def draw_magic(rng: Rng) -> bytes:
    """Draw a program's magic number, with or without a version and flags."""
    if rng.random() < 0.4:
        letters = string.ascii_letters + string.digits
        magic = "".join(letters[index] for index in rng.integers(len(letters), size=int(rng.integers(2, 11)))).encode()
    elif rng.random() < 0.2:
        magic = rng.bytes(int(rng.integers(2, 9)))
    else:
        magic = MAGICS[rng.integers(len(MAGICS))]
    return magic + (b"", b"\x01", b"\x02", b"\x01\x00", b"\x00\x01", b"v1", b"1.0")[rng.integers(7)]


def _open_stego(rng: Rng, text: bytes) -> bytes:
    """Write OpenStego's header: stamp, version, length, bits, length of the name, flags, name."""
    name = draw_name(rng)
    version = int(rng.integers(1, 3))
    header = b"OPENSTEGO" + bytes([version]) + len(text).to_bytes(4, "little") + b"\x01" + bytes([len(name)])
    return header + b"NN" + (b"\x00" * 8 if version == 2 else b"") + name + text


def _file_name(rng: Rng, text: bytes) -> bytes:
    if rng.random() < 0.3:
        return _open_stego(rng, text)
    name = draw_name(rng)
    roll = rng.random()
    if roll < 0.35:
        named = bytes([len(name)]) + name
    elif roll < 0.6:
        named = write_length(len(name), int(rng.choice([2, 4])), ORDERS[rng.integers(2)], "bytes") + name
    else:
        named = name + (b"\x00", b"\x00", b"\n", b"|", b":")[rng.integers(5)]
    length = draw_length(rng, len(text))
    start = draw_magic(rng) if rng.random() < 0.5 else b""
    return start + (named + length if rng.random() < 0.5 else length + named) + text


def _digest(rng: Rng, text: bytes) -> bytes:
    digest = hashlib.new(_DIGESTS[rng.integers(len(_DIGESTS))], text).digest()
    roll = rng.random()
    if roll < 0.1:
        # The digest is that of a password, and a file name precedes the text.
        return digest + draw_name(rng) + b"\x00" + text
    if roll < 0.4:
        return digest + text + (b"", b"\x00")[rng.integers(2)]
    length = draw_length(rng, len(text))
    return digest + length + text if roll < 0.7 else length + digest + text


def _base64(rng: Rng, text: bytes) -> bytes:
    encode = base64.urlsafe_b64encode if rng.random() < 0.2 else base64.b64encode
    encoded = encode(text)
    roll = rng.random()
    if roll < 0.25:
        return f"{len(encoded)}:".encode() + encoded
    if roll < 0.6:
        return draw_length(rng, len(encoded)) + encoded
    if roll < 0.7:
        return draw_magic(rng) + draw_length(rng, len(encoded)) + encoded
    return encoded + (b"", b"", b"\x00", b"#####")[rng.integers(4)]


def _wide(rng: Rng, text: bytes) -> bytes:
    coding = ("utf-16-le", "utf-16-be", "utf-16", "utf-32-be", "utf-32-le")[rng.integers(5)]
    wide = text.decode(errors="replace").encode(coding)
    return (draw_length(rng, len(wide)) if rng.random() < 0.5 else b"") + wide


def _behind_length(rng: Rng, body: bytes) -> bytes:
    start = draw_magic(rng) if rng.random() < 0.3 else b""
    return start + draw_length(rng, len(body), (2, 3, 4, 4, 4, 4, 4, 8)) + body


def _marked(rng: Rng, body: bytes) -> bytes:
    """Return packed bytes as they are, or after a short mark that says that they are packed."""
    roll = rng.random()
    if roll < 0.7:
        return body
    return (draw_magic(rng) if roll < 0.85 else rng.bytes(int(rng.integers(1, 4)))) + body + (b"", b"\x00")[roll < 0.8]


def _length_writer(width: int, order: str, unit: str) -> Callable[[Rng, bytes], bytes]:
    def write(rng: Rng, text: bytes) -> bytes:
        del rng
        return write_length(len(text), width, order, unit) + text

    return write


_LENGTHS: Final = {
    f"length of {width} bytes, {order}-endian, in {unit}": (width, order, unit)
    for width in (2, 4, 8)
    for order in ORDERS
    for unit in UNITS
}
LENGTH_WRITERS: Final = {name: _length_writer(*form) for name, form in _LENGTHS.items()}
TEXT_WRITERS: Final[dict[str, Callable[[Rng, bytes], bytes]]] = {
    "no end": _no_end,
    "end mark": _end_mark,
    "decimal length": _decimal,
    **LENGTH_WRITERS,
    "magic": _magic,
    "file name": _file_name,
    "base64": _base64,
    "digest": _digest,
    "wide characters": _wide,
}
"""Functions that write text in other ways than the specification's single zero byte after it."""

BINARY_WRITERS: Final = ("ciphertext behind a length", "deflated behind a length", "deflated")
WRITERS: Final = (*TEXT_WRITERS, *BINARY_WRITERS)
_SHORTEST: Final = 12


def largest_text(writer: str, room: int) -> int:
    """Return the maximum number of bytes of text that `writer` fits into `room` bytes of carrier; below 1 for none."""
    largest = room - (_OVERHEAD.get(writer, 8))
    if writer == "base64":
        largest = largest * 3 // 4
    elif writer == "wide characters":
        largest //= 4
    elif writer.startswith("length of 2"):
        largest = min(largest, 8191)
    return largest


_OVERHEAD: Final = {"magic": 24, "file name": 64, "base64": 40, "digest": 84, "end mark": 16, "decimal length": 20,
                    "ciphertext behind a length": 28, "deflated behind a length": 48, "wide characters": 16,
                    "deflated": 40, "no end": 0,
                    **{name: width for name, (width, _, _) in _LENGTHS.items()}}  # fmt: skip
EXACT_WRITERS: Final = ("no end", *LENGTH_WRITERS)
"""Writers that add the same number of bytes to every text."""


def draw_writing(rng: Rng, writer: str, size: int) -> Writing:
    """Draw a payload of about `size` bytes and write it in the format of `writer`."""
    if writer == "ciphertext behind a length":
        body = draw_ciphertext(rng, size)
        return Writing(_behind_length(rng, body), body, binary=True)
    # Wide characters are used mostly for scripts other than Latin.
    script = "any script" if writer == "wide characters" and rng.random() < 0.6 else None
    text = draw_text(rng, size, script)
    if writer in BINARY_WRITERS:
        body = zlib.compress(text, int(rng.integers(1, 10)))
        return Writing(_behind_length(rng, body) if "length" in writer else _marked(rng, body), text, binary=True)
    return Writing(TEXT_WRITERS[writer](rng, text), text)


def draw_ciphertext(rng: Rng, size: int) -> bytes:
    """Draw ciphertext of about `size` bytes: whole blocks, with or without a salt or initialisation vector."""
    blocks = max(1, size // 16)
    roll = rng.random()
    if roll < 0.5:
        return rng.bytes(16 * blocks)
    if roll < 0.65:
        return b"Salted__" + rng.bytes(8 + 16 * max(1, blocks - 1))
    if roll < 0.75:
        return b"gAAAA" + base64.urlsafe_b64encode(rng.bytes(size))[: max(8, size - 5)]
    return rng.bytes(max(_SHORTEST, size))

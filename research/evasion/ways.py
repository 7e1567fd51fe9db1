"""The ways to hide from V4: what is written, where, by which change of samples, and after the end."""

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from research.evasion.placing import (
    Positions,
    Samples,
    backwards,
    busiest_first,
    by_colour,
    by_columns,
    by_key,
    change_adaptively,
    in_order,
    red_only,
    reversed_colours,
    write_bits,
)
from research.stego.archives import make_file
from research.stego.payloads import draw_text

Rng = np.random.Generator

TEXT_BYTES: Final = 200
"""Default size of payloads in bytes."""


@dataclass(frozen=True, slots=True)
class PixelWay:
    """A way to hide in the samples of an RGB picture.

    `hide` takes (height, width, 3) samples and returns changed ones. V4 was trained for those that are `known`.
    """

    name: str
    hide: Callable[[Rng, Samples], Samples]
    known: bool = False


@dataclass(frozen=True, slots=True)
class TailWay:
    """A way to hide after a picture's end: `make` draws the bytes to append. V4 was trained for the `known` ones."""

    name: str
    make: Callable[[Rng], bytes]
    known: bool = False


def _text(rng: Rng, size: int = TEXT_BYTES) -> bytes:
    return draw_text(rng, size) + b"\x00"


def _ciphertext(rng: Rng, size: int = TEXT_BYTES) -> bytes:
    return rng.bytes(size)


def _behind_length(rng: Rng) -> bytes:
    return TEXT_BYTES.to_bytes(4, "big") + rng.bytes(TEXT_BYTES)


def _flipped(rng: Rng) -> bytes:
    """XOR a text with one byte: easy to decode, but not text."""
    key = int(rng.integers(128, 256))
    return bytes(byte ^ key for byte in _text(rng))


def _deflated(rng: Rng) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(_text(rng)) + packer.flush()


def _base85(rng: Rng) -> bytes:
    return base64.b85encode(_text(rng))


def _behind_noise(rng: Rng, size: int) -> bytes:
    return rng.bytes(size) + _text(rng)


def _write_in_order(rng: Rng, samples: Samples, make: Callable[[Rng], bytes], *, matching: bool = False) -> Samples:
    return _write(rng, samples, in_order(samples), make(rng), matching=matching)


def _write(
    rng: Rng, samples: Samples, positions: Positions, payload: bytes, plane: int = 0, *, matching: bool = False
) -> Samples:
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))[: positions.size]
    return write_bits(rng, samples, positions, bits, plane, matching=matching)


def _placed(order: Callable[[Samples], Positions], skip: int = 0, plane: int = 0) -> Callable[[Rng, Samples], Samples]:
    def hide(rng: Rng, samples: Samples) -> Samples:
        return _write(rng, samples, order(samples)[skip:], _text(rng), plane)

    return hide


def _second_row(rng: Rng, samples: Samples) -> Samples:
    return _write(rng, samples, in_order(samples)[samples.shape[1] * 3 :], _text(rng))


def _middle(rng: Rng, samples: Samples) -> Samples:
    return _write(rng, samples, in_order(samples)[samples.size // 2 :], _text(rng))


def _spread_text(rng: Rng, samples: Samples) -> Samples:
    return _write(rng, samples, by_key(rng, samples), _text(rng))


def _spread_ciphertext(rng: Rng, samples: Samples, share: float, *, matching: bool = False) -> Samples:
    return _write(rng, samples, by_key(rng, samples), rng.bytes(int(share * samples.size / 8)), matching=matching)


def _two_bits(rng: Rng, samples: Samples) -> Samples:
    """Write two bits of the payload to each sample, the upper one first."""
    bits = np.unpackbits(np.frombuffer(_text(rng), np.uint8))
    flat = samples.copy().reshape(-1)
    count = bits.size // 2
    flat[:count] = flat[:count] & 0xFC | bits[0::2] << 1 | bits[1::2]
    return flat.reshape(samples.shape)


def _fill(rng: Rng, samples: Samples) -> Samples:
    return _write(rng, samples, in_order(samples), rng.bytes(samples.size // 8))


WRITTEN: Final = (
    PixelWay("text of 200 bytes, as the specification has it", partial(_write_in_order, make=_text), known=True),
    *(PixelWay(f"text of {size} bytes", partial(_write_in_order, make=partial(_text, size=size)), known=True)
      for size in (4, 8, 12, 16)),
    PixelWay("Base85", partial(_write_in_order, make=_base85)),
    PixelWay("deflated, without a header", partial(_write_in_order, make=_deflated)),
    PixelWay("exclusive-or with one byte", partial(_write_in_order, make=_flipped)),
    PixelWay("ciphertext of 200 bytes behind a length", partial(_write_in_order, make=_behind_length), known=True),
    PixelWay("ciphertext of 200 bytes, bare", partial(_write_in_order, make=_ciphertext), known=True),
    PixelWay("ciphertext of 32 bytes, bare", partial(_write_in_order, make=partial(_ciphertext, size=32)), known=True),
    PixelWay("ciphertext in every sample", _fill, known=True),
    PixelWay("text behind 40 bytes of noise", partial(_write_in_order, make=partial(_behind_noise, size=40))),
    PixelWay("text behind 1,024 bytes of noise", partial(_write_in_order, make=partial(_behind_noise, size=1024))),
)  # fmt: skip
"""Payloads, written from the first sample on."""

PLACED: Final = (
    PixelWay("from the second pixel", _placed(in_order, skip=3)),
    PixelWay("from the second row", _second_row),
    PixelWay("from the middle of the picture", _middle),
    PixelWay("backwards from the last sample", _placed(backwards)),
    PixelWay("B, G, R of each pixel", _placed(reversed_colours)),
    PixelWay("red alone", _placed(red_only)),
    PixelWay("all of R, then G, then B", _placed(by_colour)),
    PixelWay("column by column", _placed(by_columns)),
    PixelWay("second lowest bit", _placed(in_order, plane=1)),
    PixelWay("fourth lowest bit", _placed(in_order, plane=3)),
    PixelWay("two bits of each sample", _two_bits),
    PixelWay("spread over the picture by a key", _spread_text),
    PixelWay("in the busiest places first", lambda rng, s: _write(rng, s, busiest_first(s), _text(rng))),
)
"""Places of a text of 200 bytes."""

CHANGED: Final = (
    PixelWay("LSB matching, text from the first sample", partial(_write_in_order, make=_text, matching=True)),
    PixelWay("LSB matching, ciphertext of 200 bytes", partial(_write_in_order, make=_ciphertext, matching=True)),
    *(PixelWay(f"ciphertext in {share:.0%} of the samples, spread by a key", partial(_spread_ciphertext, share=share))
      for share in (0.05, 0.25, 1.0)),
    PixelWay("the same in every sample, by LSB matching", partial(_spread_ciphertext, share=1.0, matching=True)),
    PixelWay("adaptive (HILL), 0.05 bits a sample", partial(change_adaptively, share=0.05)),
    PixelWay("adaptive (HILL), 0.4 bits a sample", partial(change_adaptively, share=0.4)),
)  # fmt: skip
"""Kinds of changes of samples."""


def _zip(rng: Rng) -> bytes:
    return make_file(rng, "zip, deflated", 400)


def _disguised(rng: Rng, kind: str) -> bytes:
    """Overwrite the signature of a file."""
    made = make_file(rng, kind, 400)
    return rng.bytes(8) + made[8:]


def _turned(rng: Rng) -> bytes:
    return _zip(rng)[::-1]


def _masked(rng: Rng) -> bytes:
    key = int(rng.integers(1, 256))
    return bytes(byte ^ key for byte in _zip(rng))


TAILS: Final = (
    TailWay("text, closed by a zero", _text, known=True),
    TailWay("zip", _zip, known=True),
    TailWay("zip, first 8 bytes overwritten", partial(_disguised, kind="zip, deflated")),
    TailWay("zip, exclusive-or with one byte", _masked),
    TailWay("zip, backwards", _turned),
    TailWay("zip behind 64 bytes of noise", lambda rng: rng.bytes(64) + _zip(rng)),
    TailWay("zip behind 2,048 zeros", lambda rng: bytes(2048) + _zip(rng)),
    TailWay("7z, first 8 bytes overwritten", partial(_disguised, kind="7z")),
    TailWay("PDF, first 8 bytes overwritten", partial(_disguised, kind="pdf")),
    TailWay("JPEG, first 8 bytes overwritten", partial(_disguised, kind="jpeg")),
    TailWay("text behind 2,048 bytes of noise", partial(_behind_noise, size=2048)),
    TailWay("ciphertext of 200 bytes", _ciphertext),
    TailWay("exclusive-or of a text with one byte", _flipped),
)
"""Bytes appended to the file."""

"""Runs of text at any position, and lengths before them, compared with hand-made examples."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.v4.text_statistics import LENGTH_FEATURES, RUN_FEATURES, find_longest_run, length_statistics, run_statistics
from worker.v4.utf8 import PADDING, is_text

ROOM = torch.tensor([40.0], dtype=torch.float64)
# Columns of matching lengths: 2 big, 2 little, 4 big, 4 little, 8 little, in bytes; then the same in bits.
AGREEING = slice(RUN_FEATURES - 10, RUN_FEATURES)


def to_tokens(data: bytes, count: int = 256) -> Tensor:
    tokens = torch.full((1, count), PADDING, dtype=torch.int32)
    tokens[0, : len(data)] = torch.tensor(list(data), dtype=torch.int32)
    return tokens


def describe_runs(rows: Tensor) -> Tensor:
    return run_statistics(rows, ROOM, *find_longest_run(rows))[0]


@pytest.mark.parametrize(
    ("data", "start", "length"),
    [
        (b"\x00\x00\x00\x05hello\x80\x80", 4, 5),
        (b"ab\x00longer\x00abc", 3, 6),
        ("\x01\x02w\u00f6rter \u660e\xa9".encode() + b"\xe4\xb8", 2, 15),
        (b"text", 0, 4),
        (b"\x00\xff", 1, 0),
    ],
)
def test_the_longest_run_is_found(data: bytes, start: int, length: int) -> None:
    found_start, found_length = find_longest_run(to_tokens(data))
    assert int(found_length) == length
    if length:
        assert int(found_start) == start


def test_each_byte_is_text_as_pythons_decoder_says() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        text = "".join(chr(code) for code in rng.choice([65, 0xE4, 0x20AC, 0x1F600], 12)).encode()
        assert is_text(to_tokens(text, 256))[0, : len(text)].all()
        assert not is_text(to_tokens(text, 256))[0, len(text) :].any()
        cut = text[1:]
        if cut[0] & 0xC0 == 0x80:
            assert not is_text(to_tokens(cut, 256))[0, 0]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        (b"\x00\x10", 0),
        (b"\x10\x00", 1),
        (b"\x00\x00\x00\x10", 2),
        (b"\x10\x00\x00\x00", 3),
        (b"\x10" + bytes(7), 4),
        (b"\x00\x80", 5),
        (b"\x80\x00\x00\x00", 8),
    ],
)
def test_a_length_before_a_run_agrees_with_it(header: bytes, column: int) -> None:
    agreeing = describe_runs(to_tokens(header + b"sixteen letters!" + b"\x80"))[AGREEING]
    assert agreeing[column] == 1
    other = describe_runs(to_tokens(b"\x01\x99\x03\x99" + b"sixteen letters!" + b"\x80"))[AGREEING]
    assert not other.any()


def test_a_printable_length_is_not_taken_for_text() -> None:
    # 65 as a length of two bytes is a zero byte and the letter A.
    agreeing = describe_runs(to_tokens(b"\x00\x41" + b"x" * 65 + b"\x80"))[AGREEING]
    assert agreeing[0] == 1


def test_lengths_fit_the_carrier_or_not() -> None:
    statistics = length_statistics(to_tokens(b"\x00\x00\x00\x24" + bytes(60)), ROOM)[0].view(4, -1)
    fits, fits_bits, fills, size = statistics
    # 2, 3, 4 and 8 bytes, big-endian and little-endian each: 36 in four bytes big-endian fills 40 bytes of room.
    assert statistics.shape == (4, LENGTH_FEATURES // 4)
    assert fits.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert fits_bits.tolist() == [0] * 8
    assert fills.tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert size[4] == pytest.approx(np.log2(37) / 32)
    assert length_statistics(to_tokens(b"\x00\x00\x00\x80" + bytes(60)), ROOM)[0].view(4, -1)[1, 4] == 1

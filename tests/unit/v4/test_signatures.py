"""Signatures, digests, wide characters and patterns in byte sequences, compared with hand-made examples."""

import pytest
import torch
from torch import Tensor

from worker.v4.signatures import SIGNATURE_FEATURES, signature_statistics
from worker.v4.utf8 import PADDING

# Columns: five kinds of signatures; three kinds after 2, 3, 4 and 8 bytes; digests; wide characters; patterns.
STRONG, PICTURE, ZLIB, PGP, PROGRAM = range(5)
BEHIND_4 = slice(5 + 2 * 3, 5 + 3 * 3)
BEHIND_DIGEST, BEHIND_DIGEST_AND_LENGTH, IN_DIGEST = range(17, 20)
WIDE_PAIRS, WIDE_FOURS = 20, 21
NEAR, FAR = 24, 25


def describe(data: bytes, start: int = 0) -> Tensor:
    tokens = torch.full((1, 256), PADDING, dtype=torch.int32)
    tokens[0, : len(data)] = torch.tensor(list(data), dtype=torch.int32)
    statistics = signature_statistics(tokens, torch.tensor([start]))
    assert statistics.shape == (1, SIGNATURE_FEATURES)
    return statistics[0]


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"PK\x03\x04\x14\x00", STRONG),
        (b"(\xb5/\xfd\x04", STRONG),
        (b"BZh91AY&SY", STRONG),
        (b"-----BEGIN PGP MESSAGE-----", STRONG),
        (b"\x89PNG\r\n\x1a\n", PICTURE),
        (b"\xff\xd8\xff\xe0", PICTURE),
        (b"BM\x36\x10\x00\x00\x00\x00", PICTURE),
        (b"\x78\x9c\xab", ZLIB),
        (b"\x85\x01\x0c\x03abc", PGP),
        (b"\x8c\x0d\x04\x09\x03\x02", PGP),
        (b"MZ\x90\x00", PROGRAM),
        (b"hello", None),
        (b"PK\x03\x05\x14\x00", None),
        (b"", None),
    ],
)
def test_the_first_bytes_are_a_kind_of_signature(start: bytes, kind: int | None) -> None:
    expected = [float(column == kind) for column in range(5)]
    assert describe(start)[:5].tolist() == expected
    behind = describe(b"\x00\x00\x00\x05" + start)[BEHIND_4].tolist()
    assert behind == (expected[:3])


def test_a_run_behind_a_digest_is_told_from_others() -> None:
    columns = [BEHIND_DIGEST, BEHIND_DIGEST_AND_LENGTH, IN_DIGEST]
    assert describe(b"x", start=32)[columns].tolist() == [1, 0, 0]
    assert describe(b"x", start=36)[columns].tolist() == [0, 1, 0]
    assert describe(b"x", start=31)[columns].tolist() == [0, 0, 1]
    assert describe(b"x", start=900)[columns].tolist() == [0, 0, 0]
    # After an MD5 and a length of four bytes, which together are as long as a SHA-1.
    assert describe(b"x", start=20)[columns].tolist() == [1, 1, 0]


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_wide_characters_are_a_long_run_of_pairs(coding: str) -> None:
    text = "sixteen letters!" * 3
    assert describe(text.encode(coding))[WIDE_PAIRS] > 0.9
    assert describe(b"\x00\x00\x00\x60" + text.encode(coding))[WIDE_PAIRS] > 0.9
    assert describe(text.encode())[WIDE_PAIRS] == 0
    assert describe(text.encode(coding.replace("16", "32")))[WIDE_FOURS] > 0.9


def test_patterns_repeat_and_count() -> None:
    assert describe(b"seven.." * 20)[FAR] == 1
    assert describe(b"".join(bytes((value + 3 * turn) % 256 for value in b"seven..") for turn in range(20)))[FAR] > 0.8
    assert describe(bytes(range(40, 110)))[NEAR] == 1
    assert describe(b")+-/13579;=?ACEG")[NEAR] == 1
    text = b"What is written here says it once, and nothing of it comes back again."
    assert describe(text)[[NEAR, FAR]].max() < 0.2

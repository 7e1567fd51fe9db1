"""Statistics of file signatures and encodings in byte sequences, such as a digest before a text, or wide characters.

Sources of the signatures: the formats' specifications, and the published magic of file(1). The network sees only the
group of a signature, so a new one that is listed here is recognised without training.
"""

from functools import cache
from typing import Final

import torch
from torch import Tensor

from worker.v4.byte_statistics import distances, look_back
from worker.v4.utf8 import PADDING

_SIGNATURE_BYTES: Final = 8
# Hexadecimal, `..` for any byte. Signatures of four bytes or more are unlikely to occur by chance.
_STRONG: Final = (
    b"PK\x03\x04".hex(), b"PK\x05\x06".hex(), "377abcaf271c", b"Rar!\x1a\x07".hex(), "fd377a585a00", "28b52ffd",
    b"%PDF-".hex(), "7f454c46", b"Salted__".hex(), b"-----BEG".hex(), b"age-encr".hex(), "425a68..31415926",
    "425a68..17724538", "1f8b08", "04224d18", b"SQLite f".hex(), "d0cf11e0a1b11ae1", "cffaedfe", "cefaedfe", "feedface",
    "feedfacf", "cafebabe", b"MSCF".hex(), b"fLaC".hex(), b"OggS".hex(), b"ID3".hex(), b"LRZI".hex(), b"LZIP".hex(),
    b"xar!".hex(), b"{\\rtf".hex(), b"wOFF".hex(), b"wOF2".hex(), b"\x00asm".hex(), b"LUKS".hex(), "1a45dfa3",
    b"!<arch>\n".hex(), "4f626a01", b"\x89HDF".hex(), "d4c3b2a1", "a1b2c3d4", "0a0d0d0a", b"KDBX".hex(), "03d9a29a",
)  # fmt: skip
_PICTURES: Final = (
    "89504e470d0a1a0a", "ffd8ff", b"GIF87a".hex(), b"GIF89a".hex(), b"RIFF".hex(), "424d........0000",
)  # fmt: skip
_ZLIB: Final = ("7801", "785e", "789c", "78da")
# A packet with a session key: its tag, length and version.
_PGP: Final = (
    "84..03",
    "85....03",
    "8c0d04",
    "8c..04",
    "c1..03",
    "c1c0..03",
    "c1c1..03",
    "c1c2..03",
    "c30d04",
    "c32e04",
)
_PROGRAM: Final = (b"MZ".hex(), b"#!/".hex())
_GROUPS: Final = (_STRONG, _PICTURES, _ZLIB, _PGP, _PROGRAM)
_BEHIND: Final = (2, 3, 4, 8)
"""Widths of the lengths after which signatures of the first `_SOUGHT_BEHIND` groups are searched."""
_SOUGHT_BEHIND: Final = 3

_DIGESTS: Final = (16, 20, 32, 64)
_WIDTHS: Final = (2, 4, 8)
_CHANCE: Final = 3
"""How many of the last bytes of a digest or length may be printable by chance, and so look like text."""
_WIDE_BYTES: Final = 64
# The high bytes of UTF-16 code units of letters, spaces and punctuation: Chinese and Japanese, Korean, and alphabets.
_LETTER_BLOCKS: Final = (
    (0x00, 0x20, 0x30, *range(0x4E, 0xA0), 0xFF),
    (0x00, 0x20, 0x30, *range(0xAC, 0xD8)),
    (*range(0x20), 0x20),
)
_PERIODS: Final = 16
_NEAR: Final = 4
_SHORTEST_PATTERN: Final = 6

SIGNATURE_FEATURES: Final = len(_GROUPS) + _SOUGHT_BEHIND * len(_BEHIND) + 3 + 4 + 2 + len(_LETTER_BLOCKS)
"""Number of statistics of one byte sequence."""


def signature_statistics(rows: Tensor, start: Tensor) -> Tensor:
    """Return statistics (N, SIGNATURE_FEATURES) of (N, K) tokens whose longest run of text begins at `start` (N,).

    They are: the groups of signatures at the start and after a length; whether the run begins after a digest, with or
    without a length; how much of the start is wide characters; how periodic the start is; and how much of it is UTF-16
    in letters of one script.
    """
    found = _find_signatures(rows)
    known, behind = found[:, 0], found[:, 1:, :_SOUGHT_BEHIND].flatten(1)
    head = rows[:, :_WIDE_BYTES]
    return torch.cat([known, behind, _behind_digest(start), _wide_runs(head), _periods(head), _letters(head)], dim=1)


def _find_signatures(rows: Tensor) -> Tensor:
    """Return (N, 1 + lengths, groups): whether a signature of each group is at the start, and after each length."""
    places = [rows[:, at : at + _SIGNATURE_BYTES].to(torch.uint8) for at in (0, *_BEHIND)]
    # Eight bytes as one integer, so that all signatures are compared at once.
    starts = torch.stack(places, dim=1).view(torch.int64)
    values, masks, members = _signatures(rows.device)
    found = ((starts & masks) == values).float() @ members
    return found.clamp_(max=1.0)


@cache
def _signatures(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return S signatures (S,) as 64-bit integers, masks of their fixed bytes (S,), and their groups (S, G)."""
    values, masks, members = [], [], []
    for number, group in enumerate(_GROUPS):
        for text in group:
            whole = text.ljust(2 * _SIGNATURE_BYTES, ".")
            values.append(list(bytes.fromhex(whole.replace(".", "0"))))
            masks.append(list(bytes.fromhex("".join("0" if digit == "." else "f" for digit in whole))))
            members.append([float(place == number) for place in range(len(_GROUPS))])
    numbers = (torch.tensor(each, dtype=torch.uint8, device=device).view(torch.int64)[:, 0] for each in (values, masks))
    value, mask = numbers
    return value, mask, torch.tensor(members, device=device)


def _behind_digest(start: Tensor) -> Tensor:
    """Return (N, 3): whether a run begins after a digest, after a digest and a length, or just before a digest ends."""
    exact, chance = _digest_places(start.device)
    place = start.clamp(max=len(exact) - 1)
    return torch.cat([exact[place], chance[place]], dim=1)


@cache
def _digest_places(device: torch.device) -> tuple[Tensor, Tensor]:
    size = max(_DIGESTS) + max(_WIDTHS) + 2
    exact = torch.zeros(size, 2, device=device)
    near = torch.zeros(size, 1, device=device)
    for digest in _DIGESTS:
        exact[digest, 0] = 1.0
        near[digest - _CHANCE : digest] = 1.0
        for width in _WIDTHS:
            exact[digest + width, 1] = 1.0
    return exact, near


def _wide_runs(head: Tensor) -> Tensor:
    """Return (N, 4): the longest runs of wide characters as shares of `head` (N, 64).

    For characters of two and four bytes each: runs of ASCII with zeros, and of bytes that equal those two or four
    positions before while their neighbours differ.
    """
    ascii_ = (head >= 9) & (head < 127)
    zero = head == 0
    pairs = ascii_[:, :-1] & zero[:, 1:]
    fours = ascii_[:, :-3] & zero[:, 1:-2] & zero[:, 2:-1] & zero[:, 3:]
    same = (head[:, 2:] == head[:, :-2]) & (head[:, 2:] != head[:, 1:-1])
    same_four = (head[:, 4:] == head[:, :-4]) & (head[:, 4:] != head[:, 1:-3])
    twos = _longest(torch.stack([pairs[:, : same.shape[1]], same], dim=1), 2)
    four = _longest(torch.stack([fours[:, : same_four.shape[1]], same_four], dim=1), 4)
    return torch.stack([twos, four], dim=2).flatten(1)


def _letters(head: Tensor) -> Tensor:
    """Return (N, 3): the longest runs, at every second byte, of high bytes of UTF-16 letters, for groups of scripts."""
    return _longest(_letter_table(head.device)[:, head].transpose(0, 1), 2)


@cache
def _letter_table(device: torch.device) -> Tensor:
    """Return (3, 257): for each of `_LETTER_BLOCKS`, whether each token is in it."""
    table = torch.zeros(len(_LETTER_BLOCKS), PADDING + 1, dtype=torch.bool, device=device)
    for row, blocks in zip(table, _LETTER_BLOCKS, strict=True):
        row[list(blocks)] = True
    return table


def _longest(found: Tensor, step: int) -> Tensor:
    """Return the longest run (N, F) of true values in `found` (N, F, K) at every `step`-th position, as a share."""
    count = found.shape[2] // step
    rows = found[:, :, : count * step].reshape(*found.shape[:2], count, step).transpose(2, 3)
    position = torch.arange(1, count + 1, device=rows.device, dtype=torch.int16)
    last = torch.cummax(position.masked_fill(rows, 0), dim=3).values
    return (position - last).amax((2, 3)).float() / count


def _periods(head: Tensor) -> Tensor:
    """Return (N, 2): the largest share of bytes that differ by a constant step from those at one distance before.

    The first is for distances up to 4, the second for distances from 5 to 16.
    """
    real = head != PADDING
    length = real.sum(1)
    before = look_back(head, _PERIODS)
    steps = (head[:, None] - before) & 255
    same = (steps[:, :, 1:] == steps[:, :, :-1]) & (before[:, :, :-1] >= 0) & real[:, None, 1:]
    compared = length[:, None] - distances(head.device, _PERIODS) - 1.0
    shares = same.sum(2) / compared.clamp(min=_SHORTEST_PATTERN)
    return torch.stack([shares[:, -_NEAR:].amax(1), shares[:, :-_NEAR].amax(1)], dim=1)

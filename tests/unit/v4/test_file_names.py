"""File names between a length and a payload are recognised, with or without a suffix, whatever marks their end."""

from typing import Literal

import pytest

from tests.kit.carriers import read

TEXT = b"Zed, their of on but look, oil make each then in as by oil time! Wait (there)."
# Names that the first letters of a text could continue.
NAMES = [b"notes.md", b"passwords.py", b"archive.7z", b"-draft.txt", b"report", b"key", b"plan-2"]


@pytest.mark.parametrize("remainder", ["zeros", "ones"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "order"), [(1, "big"), (2, "big"), (2, "little"), (4, "big"), (4, "little")])
def test_a_name_ends_where_its_length_says(
    name: bytes, width: int, order: Literal["big", "little"], remainder: str
) -> None:
    size = len(name).to_bytes(width, order)
    length = len(TEXT).to_bytes(4, "big")

    assert read(length + size + name + TEXT, remainder).body == TEXT
    assert read(size + name + length + TEXT, remainder).body == TEXT


@pytest.mark.parametrize("separator", [b"\x00", b"\n", b"|"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_ends_where_a_separator_is(name: bytes, separator: bytes) -> None:
    assert read(len(TEXT).to_bytes(4, "little") + name + separator + TEXT, "ones").body == TEXT


@pytest.mark.parametrize("start", [b"", b"MAGIC\x02", b"5d1.0", b"ABC\t"])
@pytest.mark.parametrize("separator", [b"\x00", b"\n"])
def test_a_length_follows_a_magic_and_a_name(start: bytes, separator: bytes) -> None:
    hidden = start + b"notes.txt" + separator + len(TEXT).to_bytes(2, "little") + TEXT

    assert read(hidden, "ones").body == TEXT


@pytest.mark.parametrize("magic", [b"LSB\x00\x01", b"STEG\x01\x00", b"\x01\x02\x03\x04\x02"])
@pytest.mark.parametrize("width", [0, 2, 3, 4])
def test_a_version_is_neither_length_nor_text(magic: bytes, width: int) -> None:
    length = len(TEXT).to_bytes(width, "little") if width else b""

    found = read(magic + length + TEXT, "zeros")

    assert (found.body, found.payload.offset) == (TEXT, len(magic) + width)


def test_a_length_may_follow_a_version_in_digits() -> None:
    text = TEXT * 5

    assert read(b"1qVExb1.0" + len(text[:375]).to_bytes(3, "little") + text[:375], "ones").body == text[:375]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("remainder", ["zeros", "ones"])
def test_of_a_length_that_is_written_twice_neither_is_text(order: Literal["big", "little"], remainder: str) -> None:
    length = len(TEXT).to_bytes(4, order)

    found = read(length + length + TEXT, remainder)

    assert (found.body, found.payload.offset) == (TEXT, 8)


def test_a_text_that_begins_with_a_line_of_one_word_is_read_from_its_start() -> None:
    text = b"hello\nWe meet at the bridge, as always."

    assert read(len(text).to_bytes(4, "big") + text, "ones").body == text


def test_a_number_in_the_middle_of_a_text_is_no_length() -> None:
    digest = bytes(range(130, 162))
    # As a number of bits, two blanks mean 8224, which is the length of the rest.
    text = (
        b"the quick brown fox jumps over the lazy dog"
        + b"  "
        + b"and over the others as well, I say. " * 28
        + b"and on, on"
    )
    text += b"." * (45 + 8224 // 8 - len(text))

    found = read(digest + text[: 45 + 8224 // 8], "ones")

    assert (found.payload.offset, found.body[:9]) == (len(digest), b"the quick")

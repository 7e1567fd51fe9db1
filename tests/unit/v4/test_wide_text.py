"""Text in UTF-16 and UTF-32 is read in any script, with or without a byte order mark or a length."""

import random

import pytest

from tests.kit.carriers import LIMIT, Samples, read
from worker.v4.payloads import read_payload_of
from worker.v4.wide_text import find_wide_text

WIDE_TEXTS = [
    "Meet me at noon, by the old bridge", "Встретимся на мосту", "Zażółć gęślą jaźń", "gặp nhau ở cây cầu",
    "明天中午在老桥上见面带上所有的文件不要告诉任何人", "明日の正午に古い橋で会いましょう。書類を忘れないで",
    "내일 정오에 다리에서 만나요, 서류를 가져오세요", "เจอกันที่สะพานตอนเที่ยง", "कल दोपहर पुल पर मिलना",
]  # fmt: skip


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", WIDE_TEXTS)
@pytest.mark.parametrize("width", [0, 2, 4, 8])
def test_wide_characters_are_read(coding: str, text: str, width: int) -> None:
    start = len(text.encode(coding)).to_bytes(width, "big") if width else b""
    # Without a length, following noise may be read as more text.
    found = read(start + text.encode(coding), "noise" if width else "zeros").payload
    assert (found.text, found.encoding, found.offset) == (text, coding, len(start))


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    found = read("\ufeffMeet me at noon".encode("utf-16-le") + b"\x00\x00").payload
    assert (found.text, found.offset, found.closed_by) == ("Meet me at noon", 2, "a zero byte")


@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["会見計画", "हम कल", "ni hao"])
@pytest.mark.parametrize("remainder", ["zeros", "stripes"])
def test_few_characters_are_enough_after_a_byte_order_mark(coding: str, text: str, remainder: str) -> None:
    mark = "\ufeff".encode(coding)
    end = b"\x00\x00" if remainder == "zeros" else b"\xff\xff"

    found = read(mark + text.encode(coding) + end, remainder).payload

    assert (found.text, found.encoding) == (text, coding)


@pytest.mark.parametrize(
    "pattern", [b"m\xdb\xb6", b"\xdb\xb6m", b"\xb6m\xdb", b"m\xb6\xdb", b"$I\x92", b"I\x92$", b"\x92I$"]
)
@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["明天中午在老桥上见面带上所有的文件不要告诉任何人", "내일 정오에 다리에서 만나요, 서류를 가져오세요"]
)
def test_a_plain_area_is_no_part_of_wide_characters(text: str, coding: str, pattern: bytes) -> None:
    found = read_payload_of(Samples(text.encode(coding) + pattern * 400), LIMIT)

    assert found.payload.text == text


def test_emoji_are_read_as_pairs_of_surrogates() -> None:
    text = "📁👅🎱🔪🏸📏🗒🕗😨📽🎠🖔📐🌍"

    assert read(text.encode("utf-16-le"), "zeros").payload.text == text


def test_letters_with_zeros_are_not_read_as_chinese() -> None:
    found = read("Secret than time can".encode("utf-16-be"), "ones").payload

    assert (found.text, found.encoding) == ("Secret than time can", "utf-16-be")


def test_a_first_letter_that_could_be_a_length_is_part_of_the_text() -> None:
    # T is 84, and 84 bytes of the text follow a gap of two.
    text = "These long they from at ignore may had oil d"

    assert read(text.encode("utf-16-le"), "ones").payload.text == text


def test_a_length_of_three_bytes_is_read_before_characters_of_four() -> None:
    text = "#include <for.h> and so on"
    body = text.encode("utf-32-le")

    assert read(len(body).to_bytes(3, "big") + body, "ones").payload.text == text


def test_a_text_longer_than_the_first_bytes_that_are_read_is_read_whole() -> None:
    text = "Meeting from then been water. " * 60
    body = text.encode("utf-32-be")

    assert read(len(body).to_bytes(2, "big") + body).payload.text == text


def test_many_letters_without_a_space_are_a_pattern() -> None:
    """Two bits of each sample are Korean letters where alpha is constant."""
    chance = random.Random(1)
    letters = "".join(chr(chance.randrange(0xAC00, 0xD7A0)) for _ in range(200))
    words = " ".join(letters[start : start + 5] for start in range(0, 200, 5))

    assert find_wide_text(letters.encode("utf-16-le"), 0) is None
    found = find_wide_text(words.encode("utf-16-le"), 0)
    assert found
    assert found.text == words.encode()

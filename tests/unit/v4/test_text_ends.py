"""Ends of texts without an end mark: characters that are unlikely after the text are noise."""

import random

import pytest

from worker.v4.text_ends import find_likely_end
from worker.v4.text_runs import TextRuns

STORY = (
    b"The papers are below the third stone of the bridge. Take them to the station before noon, and leave the other "
    b"bag where it was. Nobody must see that you have been there; there is no other way. We meet where we met then."
)
LETTERS = b"a993625aeeb1595ae6a5d2f817318b1ba207f3830309219cda087ebd5cbf6144" * 2


@pytest.mark.parametrize("added", [b"J", b"k~", b"$I", b"Q#w", b"=", b"\xdb\xbeq", b"X^2@"])
def test_what_a_text_makes_unlikely_is_cut_from_its_end(added: bytes) -> None:
    data = STORY + added + b"\x92\xff\x01"

    assert find_likely_end(data, 0, len(STORY + added)) == len(STORY)


@pytest.mark.parametrize(
    "text", [STORY, STORY[:-1], STORY[:-9], STORY + " Ünïcode!".encode(), STORY + " 🌍".encode(), LETTERS, STORY[:40]]
)
def test_a_text_that_ends_where_it_ends_stays_whole(text: bytes) -> None:
    assert find_likely_end(text + b"\x92\xff\x01", 0, len(text)) == len(text)


def test_a_character_that_no_digit_is_does_not_belong_to_digits() -> None:
    data = LETTERS + b")\xff"

    assert find_likely_end(data, 0, len(LETTERS) + 1) == len(LETTERS)


def test_the_pattern_of_a_plain_picture_is_no_part_of_a_text() -> None:
    data = b"A word" + b"$I\x92" * 20

    assert find_likely_end(data, 0, len(b"A word$I")) == len(b"A word")


def test_most_texts_in_noise_are_read_to_their_end() -> None:
    chance = random.Random(5)
    exact, longer = 0, 0
    for _ in range(300):
        text = STORY[: chance.randrange(100, len(STORY))]
        data = text + chance.randbytes(40)
        end = TextRuns(data).find_end(0)
        longer += end > len(text)
        exact += find_likely_end(data, 0, end) == len(text)

    assert longer > 90
    assert 300 - exact < longer * 0.6


@pytest.mark.parametrize(
    "behind", [b"I$\x92I$\x9eS\xb5", b"m\xdbF\x92#9", b"$I\xfc\xc7", b"I\x92\x24\x80", b"m\xb6\xf0"]
)
def test_the_first_bytes_of_a_small_plain_area_are_no_part_of_a_short_text(behind: bytes) -> None:
    data = b"Down have to then" + behind

    assert find_likely_end(data, 0, TextRuns(data).find_end(0)) == len(b"Down have to then")


@pytest.mark.parametrize("text", [b"Take it to them", b"It was I", b"It costs 5$"])
def test_letters_of_plain_areas_end_texts_too(text: bytes) -> None:
    assert find_likely_end(text + b"\x01\x93\xf1", 0, len(text)) == len(text)


@pytest.mark.parametrize("added", [b"Az", b"\xd8\x98", b"~", b"#8"])
def test_a_short_text_tells_what_does_not_belong_to_it(added: bytes) -> None:
    data = b"where the other bag was" + added + b"\x92\xff\x01"

    assert find_likely_end(data, 0, data.index(b"\x92")) == len(b"where the other bag was")


def test_what_the_picture_repeats_is_no_part_of_a_text() -> None:
    picture = b"?\xfc\xff\xc3\xff?\x80\xff\x03\xf8" * 20

    assert find_likely_end(STORY[:60] + picture, 0, 61) == 60
    assert find_likely_end(STORY[:60] + b"?" + bytes(range(256)), 0, 61) == 61

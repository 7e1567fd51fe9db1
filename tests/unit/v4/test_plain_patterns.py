"""If the picture is plain after a text, the text ends where the plain area begins."""

from io import BytesIO
from itertools import product

import pytest
from PIL import Image

from tests.kit.carriers import LIMIT, Samples, read
from worker.v4.embedding import embed_written
from worker.v4.extraction import read_payload_bytes
from worker.v4.payloads import read_payload_of
from worker.v4.plain_patterns import is_plain

COLOURS = list(product((0, 1), repeat=3))
ORDERS = ("lsb-first", "msb-first")
# A text whose last letters alone do not show where it ends.
TEXT = b"The papers are below the third stone; SELECT with, by? Take them to <a href=magnet:?x"


def hide(colour: tuple[int, ...], written: bytes, order: str, mode: str = "RGB") -> Image.Image:
    cover = Image.new(mode, (96, 96), (*(200 + bit for bit in colour), 255)[: len(mode)])
    return embed_written(cover, "lsb.rgb", written, order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_text_in_a_plain_picture_is_read_to_its_end(colour: tuple[int, int, int], order: str) -> None:
    image = hide(colour, TEXT, order)

    assert read_payload_bytes(image, b"", "lsb.rgb", order, LIMIT) == TEXT


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("colour", COLOURS)
def test_the_length_of_a_text_in_a_plain_picture_is_found(colour: tuple[int, int, int], order: str) -> None:
    image = hide(colour, len(TEXT).to_bytes(4, "big") + TEXT, order)

    assert read_payload_bytes(image, b"", "lsb.rgb", order, LIMIT) == TEXT


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("offset", range(6))
def test_every_colour_is_recognised_from_any_byte_on(colour: tuple[int, int, int], order: str, offset: int) -> None:
    bits = "".join(map(str, colour)) * 40
    octets = [bits[at : at + 8] for at in range(0, len(bits), 8)]
    data = bytes(int(octet if order == "big" else octet[::-1], 2) for octet in octets)

    assert is_plain(data, offset)
    assert not is_plain(data[:offset] + b"text" + data[offset:], offset)


def test_a_plain_area_is_never_the_message() -> None:
    text = b"In short: " + TEXT
    # The only pattern that is valid UTF-8 is longer than the text here.
    found = read_payload_of(Samples(b"MAGIC\x01\x00" + text + b"m\xdb\xb6" * 500), LIMIT)

    assert (found.body, found.payload.offset) == (text, 7)


def test_a_picture_that_is_plain_further_on_leaves_the_noise_before_it() -> None:
    written = len(TEXT).to_bytes(4, "little") + TEXT + b"k\xf9\x93" + b"m\xdb\xb6" * 500

    assert read_payload_of(Samples(written), LIMIT).body == TEXT


def test_a_sheet_of_white_is_no_end_mark() -> None:
    assert read(TEXT, "ones").payload.closed_by is None
    assert read_payload_of(Samples(TEXT + b"\xff\xff\x00\x91" * 99), LIMIT).payload.closed_by == "end mark ffff"


def test_a_picture_of_one_colour_is_read_as_a_file_would_be() -> None:
    buffer = BytesIO()
    hide((1, 1, 0), TEXT, "lsb-first").save(buffer, "PNG")
    with Image.open(BytesIO(buffer.getvalue())) as image:
        assert read_payload_bytes(image, buffer.getvalue(), "lsb.rgb", "lsb-first", LIMIT) == TEXT

"""A shortened JPEG has the planes of the whole one, and one that may be damaged is not shortened."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from starlight_vocabulary.words import ErrorCode
from tests.kit.first_rows import DECODER, assert_same_result, shorten, take_planes, take_planes_of_first_rows
from tests.kit.pictures import draw_grained, encode, encode_animation
from worker.scanning.decoding import MAX_SCANS
from worker.scanning.image_error import ImageError
from worker.scanning.jpeg_shortening import read_jpeg_header
from worker.v4.planes import count_rows_read

WIDTH, HEIGHT = 300, 240
ENCODINGS: Final[dict[str, dict[str, Any]]] = {
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "best": {"quality": 100, "optimize": True},
}


def encode_photo(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    """Return a JPEG of a smooth picture with some grain."""
    return encode(draw_grained(mode, max(size)).crop((0, 0, *size)), "JPEG", **options)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_first_rows_have_the_planes_of_the_whole_picture(mode: str, encoding: str) -> None:
    data = encode_photo(mode, **ENCODINGS[encoding])
    short = shorten(data)
    assert short is not None
    with DECODER.decode(short) as first, DECODER.decode(data) as whole:
        assert count_rows_read(WIDTH, HEIGHT) < first.height < HEIGHT
        assert (first.mode, first.format) == (whole.mode, whole.format)
    assert take_planes_of_first_rows(data) == take_planes(data)


@pytest.mark.parametrize("size", [(1, 9000), (9000, 40), (40, 9000), (301, 241), (17, 83)])
def test_sizes_of_all_proportions_have_the_planes_of_the_whole_picture(size: tuple[int, int]) -> None:
    data = encode_photo(size=size)
    assert take_planes_of_first_rows(data) == take_planes(data)


def test_what_precedes_and_follows_the_picture_stays() -> None:
    data = encode_photo(exif=Image.Exif(), comment=b"before") + b"appended"
    short = shorten(data)
    assert short is not None
    assert [place for place, (one, other) in enumerate(zip(data, short, strict=True)) if one != other] == [
        data.index(b"\xff\xc0") + 6
    ]
    assert take_planes_of_first_rows(data) == take_planes(data)


def test_the_thumbnail_of_another_size_is_not_shortened_instead() -> None:
    thumbnail = encode_photo(size=(16, 200))
    whole = encode_photo()
    data = whole[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + whole[2:]
    header = read_jpeg_header(data)
    assert header is not None
    assert (header.width, header.height) == (WIDTH, HEIGHT)


def test_the_first_of_several_pictures_is_shortened() -> None:
    data = encode_animation("MPO", 2)
    assert take_planes_of_first_rows(data) == take_planes(data)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_picture_is_decoded_as_a_whole(kept: float) -> None:
    whole = encode_photo()
    data = whole[: int(kept * len(whole))]
    assert shorten(data) is None
    assert take_planes_of_first_rows(data) == take_planes(data)
    assert take_planes(data)[1] is ErrorCode.TRUNCATED


def test_a_marker_in_the_rows_left_out_makes_no_difference() -> None:
    """A decoder that reaches a table or another header there fails."""
    whole = encode_photo()
    for marker in (b"\xff\xc3", b"\xff\xc4", b"\xff\xda", b"\xff\xd9", b"\xff\xfe\x00\x04ab"):
        data = whole[:-40] + marker + whole[-40:]
        assert take_planes_of_first_rows(data) == take_planes(data)


def test_too_many_scans_are_refused() -> None:
    whole = encode_photo(progressive=True)
    end = whole.rindex(b"\xff\xd9")
    scan = whole[whole.rindex(b"\xff\xda") : end]
    data = whole[:end] + MAX_SCANS * scan + whole[end:]
    with pytest.raises(ImageError, match=ErrorCode.TOO_SLOW), DECODER.decode_first_rows(data):
        pass


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\x89PNG" + bytes(90)])
def test_what_has_no_header_is_decoded_as_a_whole(data: bytes) -> None:
    assert read_jpeg_header(data) is None


def test_a_height_that_only_the_end_states_is_left_to_pillow() -> None:
    whole = encode_photo()
    at = whole.index(b"\xff\xc0") + 5
    assert read_jpeg_header(whole[:at] + bytes(2) + whole[at + 2 :]) is None


PHOTOS: Final = (encode_photo(size=(40, 300)), encode_photo(size=(40, 300), progressive=True))


@given(st.sampled_from(PHOTOS), st.floats(0, 1), st.binary(min_size=1, max_size=4))
def test_damage_anywhere_has_the_result_of_the_whole_picture(whole: bytes, place: float, other: bytes) -> None:
    at = int(place * (len(whole) - len(other)))
    data = whole[:at] + other + whole[at + len(other) :]
    assert_same_result(data)

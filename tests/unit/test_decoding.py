"""Decoding: every format in its native mode, and an error code for each kind of damage."""

from concurrent.futures import Future

import pytest

from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.words import ErrorCode
from storage.image_signatures import HEAD_BYTES, find_format
from tests.kit.pictures import (
    FORMATS_AND_MODES,
    MODES,
    choose_mode_for,
    draw_pattern,
    encode_animation,
    encode_blank_gif,
    encode_blank_png,
    encode_pattern,
    encode_truncated,
)
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.scanning.truncation import ends_early
from worker.v4.containers import survey
from worker.v4.planes import extract_planes, read_number

MAX_PIXELS = 2_500
MEMORY = 1_000_000
LOSSLESS = [(name, mode) for name, mode in FORMATS_AND_MODES if name not in ("JPEG", "WEBP")]


@pytest.fixture
def budget() -> Budget:
    return Budget(MEMORY)


@pytest.fixture
def decoder(budget: Budget) -> Decoder:
    return Decoder(MAX_PIXELS, budget)


def refused(decoder: Decoder, data: bytes) -> ImageError:
    with pytest.raises(ImageError) as refusal, decoder.decode(data):
        pass
    return refusal.value


def all_of(budget: Budget) -> Future[None]:
    """Return a future that is done when the whole budget is free."""

    def hold() -> None:
        with budget.hold(MEMORY):
            pass

    return start_thread(hold)


@pytest.mark.parametrize("size", [(1, 1), (9, 5)], ids=["1x1", "9x5"])
@pytest.mark.parametrize(("format", "mode"), LOSSLESS)
def test_pixels_come_in_their_own_mode(decoder: Decoder, format: str, mode: str, size: tuple[int, int]) -> None:  # noqa: A002
    data = encode_pattern(format, mode, size)

    with decoder.decode(data) as image:
        assert (image.format, image.size) == (format, size)
        # In GIF and BMP, Pillow reads some grey pictures as palette pictures, and vice versa.
        assert image.mode in ({mode} if format in ("PNG", "TIFF") else {mode, "P", "L", "1"})
        if image.mode == mode and mode != "P":
            assert image.tobytes() == draw_pattern(mode, size).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (9, 5)], ids=["1x1", "9x5"])
@pytest.mark.parametrize(("format", "mode"), FORMATS_AND_MODES)
def test_every_picture_gives_planes(decoder: Decoder, format: str, mode: str, size: tuple[int, int]) -> None:  # noqa: A002
    data = encode_pattern(format, mode, size)

    with decoder.decode(data) as image:
        planes = extract_planes(image, data)

    assert (read_number(planes, "width"), read_number(planes, "height")) == size


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_decoded(decoder: Decoder, format: str) -> None:  # noqa: A002
    with decoder.decode(encode_animation(format, 3)) as image:
        first = image.convert("RGB")

    with decoder.decode(encode_animation(format, 1) if format != "MPO" else encode_pattern("JPEG")) as image:
        assert first.tobytes() == image.convert("RGB").tobytes()


def test_ten_thousand_frames_cost_what_one_does(decoder: Decoder) -> None:
    data = encode_blank_gif((1, 1), frames=10_000)

    with decoder.decode(data) as image:
        assert image.size == (1, 1)
        assert read_number(extract_planes(image, data), "trailing_size") == 0


def test_a_progressive_jpeg_is_decoded(decoder: Decoder) -> None:
    with decoder.decode(encode_pattern("JPEG", size=(50, 50), progressive=True)) as image:
        assert image.size == (50, 50)


def test_a_jpeg_in_four_colours_keeps_them(decoder: Decoder) -> None:
    with decoder.decode(encode_pattern("JPEG", "CMYK")) as image:
        assert (image.mode, len(image.tobytes())) == ("CMYK", 8 * 8 * 4)


@pytest.mark.parametrize(
    "data",
    [
        b"hello, world",
        b"\0",
        b"\0" * 100,
        b"\xff" * 100,
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"P6 1 1 255 \0\0\0",
        b"\0\0\1\0\1\0\x10\x10\0\0\0\0\0\0",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x18ftypavif",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"8BPS\0\1",
    ],
)
def test_what_is_no_supported_image_is_an_unknown_format(decoder: Decoder, data: bytes) -> None:
    error = refused(decoder, data)

    assert error.code == ErrorCode.UNKNOWN_FORMAT
    assert error.detail.isprintable()


@pytest.mark.parametrize("kept", [0.6, 0.9])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF"])
def test_an_image_cut_in_its_pixels_is_truncated(decoder: Decoder, format: str, kept: float) -> None:  # noqa: A002
    error = refused(decoder, encode_truncated(format, kept))

    assert error.code == ErrorCode.TRUNCATED
    assert error.detail


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_cut_webp_is_truncated(decoder: Decoder, kept: float) -> None:
    assert refused(decoder, encode_truncated("WEBP", kept)).code == ErrorCode.TRUNCATED


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "jpeg"])
def test_a_compressed_tiff_without_its_end_is_truncated(decoder: Decoder, compression: str) -> None:
    mode = "1" if compression == "group4" else "RGB"
    data = encode_pattern("TIFF", mode, (50, 50), compression=compression)

    assert refused(decoder, data[: len(data) // 2]).code == ErrorCode.TRUNCATED


@pytest.mark.parametrize(("format", "kept"), [("PNG", 33), ("JPEG", 20), ("JPEG", 179), ("GIF", 100), ("TIFF", 100)])
def test_an_image_cut_in_its_header_is_truncated(decoder: Decoder, format: str, kept: int) -> None:  # noqa: A002
    data = encode_pattern(format, choose_mode_for(format))

    assert refused(decoder, data[:kept]).code == ErrorCode.TRUNCATED


def damages(data: bytes) -> dict[str, list[bytes]]:
    """Return the file cut at each byte, and the file with each byte inverted."""
    return {
        "cut": [data[:size] for size in range(1, len(data))],
        "inverted": [data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :] for at in range(len(data))],
    }


@pytest.mark.parametrize("kind", ["cut", "inverted"])
@pytest.mark.parametrize("format", MODES)
def test_damage_anywhere_is_refused_with_a_reason_or_leaves_a_picture(
    decoder: Decoder,
    format: str,  # noqa: A002
    kind: str,
) -> None:
    reasons: list[ImageError] = []

    for damaged in damages(encode_pattern(format, choose_mode_for(format)))[kind]:
        try:
            with decoder.decode(damaged) as image:
                extract_planes(image, damaged)
        except ImageError as error:
            reasons.append(error)

    assert reasons
    assert all(error.detail for error in reasons)


def test_damaged_pixels_are_corrupt(decoder: Decoder) -> None:
    data = bytearray(encode_pattern("PNG", size=(50, 50)))
    start = data.index(b"IDAT") + 4
    data[start : start + 8] = bytes(8)

    assert refused(decoder, bytes(data)).code == ErrorCode.CORRUPT


@pytest.mark.parametrize("format", MODES)
def test_as_many_pixels_as_allowed_are_decoded(decoder: Decoder, format: str) -> None:  # noqa: A002
    with decoder.decode(encode_pattern(format, choose_mode_for(format), (50, 50))) as image:
        assert image.size == (50, 50)


@pytest.mark.parametrize("size", [(51, 50), (100, 51), (200, 200)], ids=str)
@pytest.mark.parametrize("format", MODES)
def test_more_pixels_than_allowed_are_too_many(decoder: Decoder, format: str, size: tuple[int, int]) -> None:  # noqa: A002
    error = refused(decoder, encode_pattern(format, choose_mode_for(format), size))

    assert error.code == ErrorCode.TOO_MANY_PIXELS
    assert "2,500" in error.detail


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_a_small_file_of_a_vast_picture_is_refused_before_it_takes_memory(side: int) -> None:
    data = encode_blank_png(side, side)
    assert len(data) < 60_000

    error = refused(Decoder(50_000_000, Budget(MEMORY)), data)

    assert error.code == ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("frame", [(101, 100), (1000, 1000), (65_535, 65_535)], ids=str)
def test_a_frame_larger_than_its_screen_counts_with_its_own_size(decoder: Decoder, frame: tuple[int, int]) -> None:
    assert refused(decoder, encode_blank_gif((1, 1), frame)).code == ErrorCode.TOO_MANY_PIXELS


def test_a_vast_screen_around_a_small_frame_is_too_many_pixels(decoder: Decoder) -> None:
    assert refused(decoder, encode_blank_gif((65_535, 65_535), (1, 1))).code == ErrorCode.TOO_MANY_PIXELS


def test_memory_is_held_while_the_picture_is_used(decoder: Decoder, budget: Budget) -> None:
    with decoder.decode(encode_pattern()):
        waiting = all_of(budget)
        assert not waiting.done()

    waiting.result(PATIENCE_S)


@pytest.mark.parametrize(
    "data",
    [
        encode_pattern("PNG"),
        encode_truncated(),
        encode_pattern("PNG", size=(51, 50)),
        encode_pattern("PNG", size=(1000, 1000), mode="1"),
        b"no image",
    ],
    ids=["decoded", "truncated", "too many pixels", "far too many pixels", "unknown format"],
)
def test_memory_is_given_back_whatever_became_of_the_picture(decoder: Decoder, budget: Budget, data: bytes) -> None:
    try:
        with decoder.decode(data):
            pass
    except ImageError:
        pass

    all_of(budget).result(PATIENCE_S)


def test_memory_is_given_back_when_the_user_of_the_picture_fails(decoder: Decoder, budget: Budget) -> None:
    with pytest.raises(ZeroDivisionError), decoder.decode(encode_pattern()):
        1 / 0  # noqa: B018

    all_of(budget).result(PATIENCE_S)


def test_a_picture_larger_than_the_whole_budget_is_decoded_alone() -> None:
    with Decoder(MAX_PIXELS, Budget(1)).decode(encode_pattern()) as image:
        assert image.size == (8, 8)


def test_every_supported_format_is_among_the_pictures_of_the_tests() -> None:
    assert set(MODES) == set(ImageFormat)


@pytest.mark.parametrize("image_format", list(ImageFormat))
def test_the_structure_of_every_supported_format_is_known(image_format: ImageFormat) -> None:
    whole = encode_pattern(image_format, choose_mode_for(image_format))

    assert find_format(whole[:HEAD_BYTES]) == image_format
    assert not ends_early(whole)
    assert survey(whole).container == image_format.lower()


@pytest.mark.parametrize("data", [b"secret token of another bucket", b"\x00\x01secret", b"<svg>secret</svg>"])
def test_bytes_that_are_no_image_are_not_quoted(data: bytes) -> None:
    decoder = Decoder(10_000, Budget(10_000))

    with pytest.raises(ImageError) as refused, decoder.decode(data):
        pass

    assert (refused.value.code, refused.value.detail) == (
        ErrorCode.UNKNOWN_FORMAT,
        "not an image of a supported format",
    )

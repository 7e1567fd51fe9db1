"""Messages hidden in files of every format: V4 finds them, they are read completely, and nothing else changes."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from producer.canaries.drawing import draw_picture
from starlight_vocabulary.words import METHODS, BitOrder, Method
from tests.kit.hiding import make_full_gif, make_full_jpeg, make_full_png
from tests.kit.pictures import decode, draw_noise, encode, encode_animation, encode_pattern, encode_png_chunk
from worker.v4.card import DEFAULT_MODEL
from worker.v4.containers import survey
from worker.v4.detector import Detector
from worker.v4.embedding import capacity, embed_raw
from worker.v4.extraction import read_payload
from worker.v4.hiding import HidingError, check_hidden, choose_method, hide
from worker.v4.planes import PLANES, extract_planes

# Formats and modes in which each method can hide, also in modes that are converted for it.
PLACES = {
    Method.ALPHA: [("PNG", ("1", "L", "LA", "P", "RGB", "RGBA")), ("WEBP", ("RGB", "RGBA")),
                   ("TIFF", ("L", "LA", "P", "RGB", "RGBA"))],
    Method.PALETTE: [("PNG", ("P",)), ("GIF", ("P", "L")), ("BMP", ("P", "L")), ("TIFF", ("P",))],
    Method.LSB_RGB: [("PNG", ("1", "L", "LA", "P", "RGB", "RGBA")), ("WEBP", ("RGB", "RGBA")), ("BMP", ("RGB",)),
                     ("TIFF", ("L", "P", "RGB", "RGBA"))],
    Method.EXIF: [("JPEG", ("L", "RGB", "CMYK")), ("PNG", ("1", "L", "P", "RGBA", "I;16")), ("WEBP", ("RGB", "RGBA")),
                  ("TIFF", ("1", "RGB", "CMYK", "F"))],
    Method.RAW: [("JPEG", ("L", "RGB")), ("PNG", ("L", "P", "RGBA")), ("GIF", ("P",)), ("WEBP", ("RGB",)),
                 ("BMP", ("P", "RGB"))],
}  # fmt: skip
CASES = [(method, name, mode) for method, places in PLACES.items() for name, modes in places for mode in modes]
OPTIONS: dict[str, dict[str, Any]] = {
    "GIF": {"optimize": False}, "WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 80},
}  # fmt: skip
WORDS = st.lists(
    st.sampled_from(
        ["meet", "me", "at", "the", "bridge", "noon", "später", "bring", "both", "maps", "ключ", "橋", "7"]
    ),
    min_size=8,
    max_size=60,
).map(" ".join)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector.load(DEFAULT_MODEL)


def draw_cover(name: str, mode: str, width: int, height: int, seed: int) -> Image.Image:
    picture = draw_picture(np.random.default_rng(seed)).resize((width, height))
    if mode == "P":
        indexed = picture.quantize(3 + seed % 62)
        table = indexed.getpalette() or []
        # Only the table of a PNG can grow.
        indexed.putpalette(table + table[-3:] * (len(table) // 3 % 2 * (name != "PNG")))
        return indexed
    if mode in ("RGBA", "LA"):
        picture.putalpha(draw_noise("L", width, height, seed) if seed % 2 else 255)
    return Image.new("I;16", (width, height), 300) if mode == "I;16" else picture.convert(mode)


def draw_plain(colours: int) -> Image.Image:
    """Return a picture whose every pixel has the last of so many colours."""
    image = Image.new("P", (64, 64), colours - 1)
    image.putpalette(bytes(range(3 * colours)), "RGB")
    return image


def put(data: bytes, method: Method, message: str) -> tuple[Image.Image, bytes]:
    """Return the result of `starlight hide` for a file: the decoded image, and the bytes."""
    expected, stego = hide(decode(data), data, method, message.encode())
    written = decode(stego)
    check_hidden(expected, written, stego, method, message.encode())
    return written, stego


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CASES), WORDS, st.integers(60, 110), st.integers(60, 110), st.integers(0, 2**16))
def test_what_is_hidden_is_found_and_read_back_whole(
    detector: Detector, case: tuple[Method, str, str], message: str, width: int, height: int, seed: int
) -> None:
    method, name, mode = case
    data = encode(draw_cover(name, mode, width, height, seed), name, **OPTIONS.get(name, {}))

    image, stego = put(data, method, message)

    planes = np.empty(1, PLANES)
    extract_planes(image, stego, planes[0])
    (score,) = detector.score(planes)
    assert (score.is_stego, score.method) == (True, method)
    order = score.bit_order
    assert read_payload(image, stego, method, order).payload.to_message() == message
    assert survey(stego).container == survey(data).container
    assert image.size == (width, height)
    before = decode(data)
    if method in (Method.EXIF, Method.RAW):
        assert image.mode == before.mode
        assert image.tobytes() == before.tobytes()
    elif image.mode == before.mode:
        assert (np.array(image) & 0xFE == np.array(before, np.uint8) & 0xFE).all()


@pytest.mark.parametrize("method", [Method.ALPHA, Method.LSB_RGB, Method.PALETTE, Method.RAW])
def test_metadata_of_a_png_stays_byte_for_byte(method: Method) -> None:
    data = make_full_png()
    data = data[: survey(data).end]
    if method is Method.PALETTE:
        data = encode_palette_png(5, (b"gAMA", struct.pack(">I", 45455)), (b"tEXt", b"Author\x00nobody"))

    stego = put(data, method, "only this")[1]

    colours = (b"IHDR", b"IDAT", b"PLTE", b"tRNS")
    assert [each for each in list_chunks(stego) if each[0] not in colours] == [
        each for each in list_chunks(data) if each[0] not in colours
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"\x00\x80", b"\x00\x80"), (b"\1\2\3\4\5", b"\1\2\3\4\5\5"), (b"\xff" * 4 + b"\0", b"\xff" * 4 + b"\0\0")],
)
def test_a_colour_table_with_an_odd_number_of_colours_gets_one_more_like_the_last(before: bytes, after: bytes) -> None:
    data = encode_palette_png(5, (b"tRNS", before))

    stego = dict(list_chunks(put(data, Method.PALETTE, "hi")[1]))

    table = dict(list_chunks(data))[b"PLTE"]
    assert stego[b"PLTE"] == table + table[-3:]
    assert stego[b"tRNS"] == after


def test_what_else_stands_in_exif_stays(subtests: pytest.Subtests) -> None:
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    exif[0x9C9C] = "words".encode("utf-16-le")
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x927C] = b"notes of a camera"
    plain = Image.Exif()
    plain[0x010F] = "A maker"
    for name in ("JPEG", "PNG", "WEBP"):
        for block in (exif.tobytes(), plain.tobytes()):
            with subtests.test(name, bytes=len(block)):
                data = encode_pattern(name, size=(40, 40), exif=block)

                written, _ = put(data, Method.EXIF, "beside the others")

                before, after = list_tags(decode(data)), list_tags(written)
                assert after == before | {("Exif", 0x9286): b"ASCII\x00\x00\x00beside the others"}
                assert written.tobytes() == decode(data).tobytes()


def test_other_frames_and_comments_of_a_gif_stay() -> None:
    text = b"A comment that a camera would not write."
    data = make_full_gif()
    data = data[: survey(data).end]
    animation = encode_animation("GIF", 3)

    _, stego = put(data, Method.PALETTE, "hidden")
    _, moving = put(animation, Method.PALETTE, "hi")

    assert text in stego
    assert getattr(decode(moving), "n_frames", 1) == 3
    assert moving[-100:] == animation[-100:]


@pytest.mark.parametrize(
    ("data", "method", "complaint"),
    [
        (encode_pattern("PNG", "RGBA"), Method.ALPHA, r"has 40 bytes, and alpha has room for 3 in"),
        (encode_pattern("PNG", "RGB"), Method.LSB_RGB, r"has 40 bytes, and lsb\.rgb has room for 23 in"),
        (encode_pattern("GIF", "P", (16, 9)), Method.PALETTE, r"and palette has room for 17 in"),
        (encode_pattern("JPEG"), Method.ALPHA, "alpha does not go into this JPEG: it is lossy"),
        (encode_pattern("PNG"), Method.PALETTE, "no colour table"),
        (encode_pattern("GIF", "P"), Method.LSB_RGB, "a GIF has only palette indices"),
        (encode_pattern("GIF", "P"), Method.EXIF, "cannot hold EXIF data"),
        (encode_pattern("BMP"), Method.ALPHA, "is not supported for changes"),
        (encode_pattern("BMP", "1"), Method.LSB_RGB, "is not supported for changes"),
        (encode(draw_plain(3), "BMP"), Method.PALETTE, "has 3 colours"),
        (encode_pattern("TIFF"), Method.RAW, "does not define an end"),
        (encode_pattern("PNG", "I;16", (64, 64)), Method.LSB_RGB, "have the mode I;16"),
        (encode_pattern("TIFF", "CMYK"), Method.ALPHA, "have the mode CMYK"),
        (encode_animation("WEBP", 3), Method.LSB_RGB, "other frames would be lost"),
        (encode_animation("TIFF", 2), Method.LSB_RGB, "all but the first would be lost"),
        (encode_animation("PNG", 2), Method.ALPHA, "other frames would be lost"),
        (embed_raw(encode_pattern("PNG"), b"before"), Method.RAW, "7 bytes already follow its end"),
        (make_full_jpeg(), Method.EXIF, "already has a UserComment"),
        (encode_png_chunk(b"eXIf", b"II*\x00\xff\xff\x00\x00"), Method.EXIF, "EXIF block is damaged"),
        (encode_png_chunk(b"eXIf", b"nothing"), Method.EXIF, "not a TIFF structure"),
    ],
)  # fmt: skip
def test_what_does_not_fit_or_would_not_survive_is_refused(data: bytes, method: Method, complaint: str) -> None:
    with pytest.raises(HidingError, match=complaint):
        put(data, method, "Forty bytes of text, neither more nor..." if "room" in complaint else "hi")


def test_a_comment_too_long_for_its_segment_is_refused_with_what_fits() -> None:
    data = encode_pattern("JPEG")
    with pytest.raises(HidingError, match=r"has 70,000 bytes, and exif has room for ([\d,]+) in"):
        put(data, Method.EXIF, "a" * 70_000)

    assert len(put(data, Method.EXIF, "a" * 65_400)[1]) > 65_400


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("message", ["", "  ", "a\x00b"])
def test_a_message_without_text_or_with_an_end_in_it_is_refused(method: Method, message: str) -> None:
    with pytest.raises(HidingError, match="needs text"):
        put(encode_pattern("PNG", "RGBA", (64, 64)), method, message)


def test_all_the_room_there_is_can_be_used() -> None:
    for mode, method in (("RGBA", Method.ALPHA), ("RGB", Method.LSB_RGB), ("P", Method.PALETTE)):
        cover = draw_noise(mode, 33, 17)
        message = "Ab " * 500

        image, stego = put(encode(cover, "PNG"), method, message[: capacity(cover, method)])

        order = {Method.ALPHA: BitOrder.LSB_FIRST}.get(method, BitOrder.MSB_FIRST)
        assert read_payload(image, stego, method, order).payload.text == message[: capacity(cover, method)]


def test_each_format_has_a_usual_method() -> None:
    found = {name: choose_method(encode_pattern(name, "P" if name == "GIF" else "RGB"))
             for name in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")}  # fmt: skip
    assert found == {
        "PNG": "alpha",
        "JPEG": "exif",
        "GIF": "palette",
        "WEBP": "alpha",
        "BMP": "lsb.rgb",
        "TIFF": "exif",
    }


def encode_palette_png(colours: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with so many colours, and with these chunks before its pixels."""
    rng = np.random.default_rng(1)
    rows = b"".join(b"\x00" + row.tobytes() for row in rng.integers(0, colours, (40, 40), dtype=np.uint8))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 3, 0, 0, 0)), (b"PLTE", rng.bytes(3 * colours)), *chunks,
             (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def list_tags(image: Image.Image) -> dict[tuple[str, int], Any]:
    """Return the values in the EXIF block, except the positions of its directories."""
    exif = image.getexif()
    directories = {"main": exif, "Exif": exif.get_ifd(0x8769), "GPS": exif.get_ifd(0x8825)}
    return {
        (name, tag): value
        for name, directory in directories.items()
        for tag, value in directory.items()
        if tag not in (0x8769, 0x8825)
    }


def list_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the kind and the content of each chunk of a PNG."""
    found, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found

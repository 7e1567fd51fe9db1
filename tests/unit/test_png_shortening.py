"""A shortened PNG has the planes of the whole one, and only a PNG that is whole and correct is shortened."""

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from starlight_vocabulary.words import ErrorCode
from tests.kit.first_rows import assert_same_result, shorten, take_planes, take_planes_of_first_rows
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.image_error import ImageError
from worker.scanning.png_shortening import read_png_header
from worker.v4.containers import PNG_SIGNATURE
from worker.v4.planes import count_rows_read

WIDTH, HEIGHT = 300, 200
PALETTE_COLOURS: Final = {"P": 200, "P;4": 12, "P;2": 4, "P;1": 2}
PICTURES: Final = ("1", "L", "LA", *PALETTE_COLOURS, "RGB", "RGBA", "I;16")

Chunk = tuple[bytes, bytes]


def encode_noise(kind: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return a PNG whose rows use all filters, as its encoder chooses them."""
    rng = np.random.default_rng(7)
    smooth = np.add.outer(np.arange(height), np.arange(width))[:, :, None] + rng.integers(0, 9, (height, width, 4))
    if kind == "I;16":
        image = Image.fromarray((257 * smooth[:, :, 0]).astype(np.uint16))
    elif kind in PALETTE_COLOURS:
        image = Image.fromarray((smooth[:, :, 0] % PALETTE_COLOURS[kind]).astype(np.uint8), "P")
        image.putpalette(rng.bytes(3 * PALETTE_COLOURS[kind]))
    else:
        image = Image.fromarray(smooth.astype(np.uint8), "RGBA").convert(kind)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("comment", "before the rows")
    buffer = BytesIO()
    image.save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def split_chunks(data: bytes) -> list[Chunk]:
    """Return the chunks of a PNG: kinds and contents."""
    chunks, position = [], len(PNG_SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def join_chunks(chunks: Sequence[Chunk]) -> bytes:
    """Return the PNG of these chunks."""
    parts = [PNG_SIGNATURE]
    for kind, content in chunks:
        parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", zlib.crc32(kind + content))]
    return b"".join(parts)


def replace_rows(data: bytes, change: Callable[[bytes], Sequence[Chunk]]) -> bytes:
    """Return a PNG with other chunks where its compressed rows were; `change` gets these joined."""
    chunks = split_chunks(data)
    compressed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    before = [chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")]
    return join_chunks([*before, *change(compressed), (b"IEND", b"")])


def change_last_filter(compressed: bytes) -> Sequence[Chunk]:
    """Give the last row a filter that does not exist."""
    lines = bytearray(zlib.decompress(compressed))
    lines[-1 - 3 * WIDTH] = 5
    return [(b"IDAT", zlib.compress(bytes(lines)))]


def change_header(data: bytes, position: int, value: int) -> bytes:
    """Return a PNG with another byte in its header, and the right checksum."""
    (kind, header), *others = split_chunks(data)
    return join_chunks([(kind, header[:position] + bytes([value]) + header[position + 1 :]), *others])


@pytest.mark.parametrize("kind", PICTURES)
def test_the_first_rows_have_the_planes_of_the_whole_picture(kind: str) -> None:
    data = encode_noise(kind)
    short = shorten(data)
    assert short is not None
    with Image.open(BytesIO(data)) as whole, Image.open(BytesIO(short)) as first:
        rows = count_rows_read(*whole.size)
        assert first.size == (WIDTH, rows)
        assert first.mode == whole.mode
        assert first.tobytes() == whole.crop((0, 0, WIDTH, rows)).tobytes()
        assert first.info == whole.info
    assert take_planes_of_first_rows(data) == take_planes(data)


@pytest.mark.parametrize("size", [(1, 9000), (9000, 40), (40, 9000), (3, 3)])
def test_sizes_of_all_proportions_have_the_planes_of_the_whole_picture(size: tuple[int, int]) -> None:
    data = encode_noise("RGBA", *size)
    assert take_planes_of_first_rows(data) == take_planes(data)


def test_rows_in_many_chunks_are_shortened() -> None:
    data = encode_noise("RGB")
    parts = replace_rows(data, lambda rows: [(b"IDAT", rows[start : start + 99]) for start in range(0, len(rows), 99)])
    assert shorten(parts) == shorten(replace_rows(data, lambda rows: [(b"IDAT", rows)]))


def test_chunks_after_the_rows_and_bytes_after_the_picture_stay() -> None:
    chunks = split_chunks(encode_noise("RGB"))
    data = join_chunks([*chunks[:-1], (b"tEXt", b"comment\0after the rows"), chunks[-1]]) + b"appended"
    short = shorten(data)
    assert short is not None
    assert short.endswith(join_chunks([(b"tEXt", b"comment\0after the rows"), chunks[-1]])[8:] + b"appended")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [(b"IDAT", rows[: len(rows) // 2])],
        lambda rows: [(b"IDAT", rows[:-1])],
        lambda rows: [(b"IDAT", rows[:-4] + b"\0\0\0\0")],
        lambda rows: [(b"IDAT", rows[:100] + bytes([rows[100] ^ 255]) + rows[101:])],
        lambda rows: [(b"IDAT", zlib.compress(zlib.decompress(rows)[:-1]))],
        lambda rows: [(b"IDAT", zlib.compress(zlib.decompress(rows) + b"\0"))],
        lambda rows: [(b"IDAT", rows[:200]), (b"tEXt", b"comment\0between"), (b"IDAT", rows[200:])],
        lambda rows: [(b"acTL", struct.pack(">II", 2, 0)), (b"IDAT", rows)],
        lambda rows: [(b"IDAT", b"")],
        lambda rows: [],
        change_last_filter,
    ],
    ids=["half", "one byte less", "checksum", "changed", "row short", "row long", "apart", "animated", "empty", "none",
         "filter"],
)  # fmt: skip
def test_what_is_not_a_whole_correct_still_picture_is_decoded_by_pillow(
    change: Callable[[bytes], Sequence[Chunk]],
) -> None:
    data = replace_rows(encode_noise("RGB"), change)
    assert shorten(data) is None
    assert_same_result(data)


def test_a_stream_of_more_than_the_declared_rows_is_left_early() -> None:
    """A few kilobytes may contain gigabytes of zeros."""
    bomb = zlib.compress(bytes(300 * 2**20))
    data = replace_rows(encode_noise("RGB"), lambda rows: [(b"IDAT", bomb)])
    assert shorten(data) is None


@pytest.mark.parametrize(("position", "value"), [(12, 1), (9, 5)], ids=["interlaced", "colour type"])
def test_a_header_of_another_kind_is_left_to_pillow(position: int, value: int) -> None:
    assert read_png_header(change_header(encode_noise("RGB"), position, value)) is None


@pytest.mark.parametrize("data", [b"", PNG_SIGNATURE, b"GIF89a" + bytes(40), encode_noise("L")[:32]])
def test_what_has_no_header_is_left_to_pillow(data: bytes) -> None:
    assert read_png_header(data) is None


def test_a_header_with_a_wrong_checksum_is_left_to_pillow() -> None:
    data = encode_noise("L")
    assert read_png_header(data[:29] + bytes(4) + data[33:]) is None


def test_too_many_pixels_are_refused() -> None:
    with (
        pytest.raises(ImageError, match=ErrorCode.TOO_MANY_PIXELS),
        Decoder(100, Budget(1)).decode_first_rows(encode_noise("L")),
    ):
        pass


NOISE: Final = encode_noise("RGB", 40, 300)


@given(st.integers(0, len(NOISE) - 1), st.binary(min_size=1, max_size=4))
def test_damage_anywhere_has_the_result_of_pillow(position: int, other: bytes) -> None:
    data = NOISE[:position] + other + NOISE[position + len(other) :]
    assert_same_result(data)

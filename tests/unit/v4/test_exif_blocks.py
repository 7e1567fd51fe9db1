"""EXIF that a PNG has as text is read like EXIF in a chunk of its own."""

import io

import pytest
from PIL import Image, PngImagePlugin

from worker.v4.containers import survey
from worker.v4.embedding import exif_with_comment
from worker.v4.exif_blocks import MAX_BYTES, find_exif_block
from worker.v4.extraction import read_payload
from worker.v4.metadata import list_metadata
from worker.v4.planes import extract_planes, read_number

COMMENT = b"Meet me at the bridge at noon"


def make_block(comment: bytes = COMMENT) -> bytes:
    return exif_with_comment(comment).tobytes()


def spell_out(block: bytes, name: str = "exif") -> str:
    """Write a profile as ImageMagick does: name, size, and lines of 72 digits."""
    digits = block.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return f"\n{name}\n{len(block):8d}\n" + "\n".join(lines) + "\n"


def encode(text: str | None, *, packed: bool = True, name: str = "exif", chunk: bytes = b"") -> bytes:
    texts = PngImagePlugin.PngInfo()
    if text is not None:
        texts.add_text(f"Raw profile type {name}", text, zip=packed)
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG", pnginfo=texts, exif=chunk)
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["exif", "APP1"])
def test_a_user_comment_in_a_text_is_read(name: str, packed: bool) -> None:
    data = encode(spell_out(make_block(), name), packed=packed, name=name)
    image = Image.open(io.BytesIO(data))
    image.load()

    assert read_payload(image, data, "exif", None).payload.text == COMMENT.decode()
    assert read_number(extract_planes(image, data), "user_comment_size") >= len(COMMENT)
    assert ("EXIF UserComment", COMMENT) in list(list_metadata(data))


def test_the_chunk_for_exif_comes_first() -> None:
    data = encode(spell_out(make_block(b"in the text, not in the chunk")), chunk=make_block())

    assert COMMENT in bytes(find_exif_block(data, survey(data)))


@pytest.mark.parametrize(
    "text", ["", "\nexif\n", "\nexif\n  12\nno digits", "\nexif\n  12\n4", spell_out(make_block())[:-4] + "ü"]
)
def test_a_text_that_holds_no_profile_is_no_exif(text: str) -> None:
    data = encode(text)

    assert len(find_exif_block(data, survey(data))) == 0


def test_a_text_that_unpacks_to_gigabytes_is_read_in_part() -> None:
    data = encode("\nexif\n  12\n" + "00" * (3 * MAX_BYTES))

    assert len(find_exif_block(data, survey(data))) <= MAX_BYTES


def test_text_that_is_packed_wrongly_is_no_exif() -> None:
    packed = bytearray(encode(spell_out(make_block())))
    at = packed.index(b"Raw profile type exif\x00\x00") + len(b"Raw profile type exif\x00\x00")
    packed[at : at + 4] = b"\xff\xff\xff\xff"

    assert len(find_exif_block(bytes(packed), survey(bytes(packed)))) == 0

"""Extraction reads the payloads that the embedders hide."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.embedding import (
    CapacityError,
    comment_value,
    embed_alpha,
    embed_lsb,
    embed_palette,
    embed_raw,
    exif_with_comment,
)
from worker.v4.extraction import read_payload
from worker.v4.text_runs import decode_text

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


def read(data: bytes, method: str, bit_order: str | None) -> str | None:
    return read_payload(decode(data), data, method, bit_order).payload.to_message()


@settings(max_examples=25, deadline=None)
@given(TEXTS)
def test_alpha_round_trip(text: str) -> None:
    data = encode(embed_alpha(draw_noise("RGBA", 60, 50), text.encode()), "PNG", compress_level=1)
    assert read(data, "alpha", "lsb-first") == text


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from(["lsb-first", "msb-first"]), st.sampled_from(["GIF", "PNG", "BMP"]))
def test_palette_round_trip(text: str, bit_order: str, container: str) -> None:
    stego = embed_palette(draw_noise("P", 60, 50), text.encode(), bit_order)
    options = {"optimize": False} if container == "GIF" else {}
    assert read(encode(stego, container, **options), "palette", bit_order) == text


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from(["lsb-first", "msb-first"]), st.sampled_from(["RGB", "RGBA"]))
def test_lsb_round_trip(text: str, bit_order: str, mode: str) -> None:
    stego = embed_lsb(draw_noise(mode, 50, 30), text.encode(), bit_order)
    assert read(encode(stego, "PNG", compress_level=1), "lsb.rgb", bit_order) == text


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from([None, 0, 3]), st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]))
def test_exif_round_trip(text: str, charset: int | None, container: str) -> None:
    exif = exif_with_comment(comment_value(text.encode(), charset))
    assert read(encode(draw_noise("RGB", 8, 8), container, exif=exif.tobytes()), "exif", "none") == text


@pytest.mark.parametrize("utf16", ["utf-16-le", "utf-16-be", "utf-16", "utf-8"])
@pytest.mark.parametrize(
    "text",
    [
        "Hello there",
        "Привет, мир",
        "明天在桥边见面",
        "a",
        "Пові",
        "ปรนาี้วาค่แ้",
        "タ電日人字本こ大漢よ東小",
        "열쇠 메시지",
        "一个人今天走到桥边等着他的朋友",
    ],
)
def test_exif_in_unicode_is_read_in_any_byte_order(text: str, utf16: str) -> None:
    exif = exif_with_comment(comment_value(text.encode(), 1, utf16))
    assert read(encode(draw_noise("RGB", 8, 8), "JPEG", exif=exif.tobytes()), "exif", "none") == text


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "BMP"]))
def test_raw_round_trip(text: str, container: str) -> None:
    mode = "P" if container == "GIF" else "RGB"
    assert read(embed_raw(encode(draw_noise(mode, 8, 8), container), text.encode()), "raw", "none") == text


def test_only_least_significant_bits_of_the_carrier_change() -> None:
    cover = draw_noise("RGBA", 20, 20)
    before, after = np.asarray(cover), np.asarray(embed_lsb(cover, b"0123456789", "lsb-first"))
    assert (before[..., 3] == after[..., 3]).all()
    assert (before >> 1 == after >> 1).all()
    # Eleven bytes with the terminator are 88 samples: the first 29 pixels and one sample.
    assert (before.reshape(-1, 4)[30:] == after.reshape(-1, 4)[30:]).all()


def test_a_payload_too_large_is_refused() -> None:
    with pytest.raises(CapacityError, match="101 bytes do not fit into 75 samples"):
        embed_lsb(draw_noise("RGB", 5, 5), bytes(100), "lsb-first")


def test_a_long_message_is_cut_at_the_limit() -> None:
    data = embed_raw(encode(draw_noise("RGB", 8, 8), "PNG"), "ä".encode() * 5000)
    payload = read_payload(decode(data), data, "raw", "none", limit=101).payload
    assert (payload.text, payload.truncated, payload.limit) == ("ä" * 50, True, 101)


def test_bytes_that_are_no_text_are_described() -> None:
    data = embed_raw(encode(draw_noise("RGB", 8, 8), "PNG"), bytes(range(1, 129)) + bytes(range(128, 256)))
    payload = read_payload(decode(data), data, "raw", "none").payload
    assert (payload.kind, payload.size, payload.text, payload.truncated) == ("ciphertext", 256, None, False)
    assert (payload.to_message() or "").startswith("256 bytes, entropy 8.0 bits/byte, first bytes 01020304")


def test_nothing_to_read_is_none() -> None:
    data = encode(draw_noise("1", 8, 8), "PNG")
    for method in ("alpha", "palette", "lsb.rgb", "exif", "raw"):
        assert read_payload(decode(data), data, method, "lsb-first").payload.kind == "empty"


def test_control_characters_make_no_text() -> None:
    assert decode_text(b"\x01\x02\x03\x04text") is None
    assert decode_text(b"a line\nand a tab\t") == "a line\nand a tab\t"
    assert decode_text("cut Ж".encode()[:-1]) == "cut "

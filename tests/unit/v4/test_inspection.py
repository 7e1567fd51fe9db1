"""Inspections show payloads in every order and place, and accept any bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from starlight_vocabulary.inspection import Inspection, Place
from starlight_vocabulary.payload import PayloadKind
from tests.kit.hiding import TEXTS, hide_in_pixels, make_full_gif, make_full_jpeg, make_full_png
from tests.kit.pictures import decode, draw_grained, draw_noise, encode, encode_pattern
from worker.v4.inspection import inspect_image
from worker.v4.metadata import list_metadata
from worker.v4.sample_orders import list_sample_orders

TEXT = "In which order does it stand here?"
NAMES = {
    mode: [order.name for order in list_sample_orders(Image.new(mode, (4, 4)))] for mode in ("RGB", "RGBA", "P", "LA")
}
FULL = {
    "PNG": (make_full_png, [name for name in TEXTS if name not in ("comment", "IPTC caption")]),
    "JPEG": (
        make_full_jpeg,
        [name for name in TEXTS if " bits" not in name and "TXt" not in name and "tEXt" not in name],
    ),
    "GIF": (make_full_gif, ["comment", "after the image's end"]),
}


def inspect(data: bytes) -> Inspection:
    return inspect_image(decode(data), data)


def read_texts(found: Inspection) -> dict[str, str]:
    return {finding.name: finding.payload.text for finding in found.findings if finding.payload.text is not None}


@pytest.mark.parametrize(("mode", "name"), [(mode, name) for mode, names in NAMES.items() for name in names])
def test_a_text_in_any_order_is_read_and_comes_first(mode: str, name: str) -> None:
    (order,) = [each for each in list_sample_orders(draw_noise(mode, 32, 24)) if each.name == name]
    hidden = TEXT.encode() + b"\x00"
    image = hide_in_pixels(
        draw_noise(mode, 32, 24), order.channels, order.bits, hidden,
        msb_first=order.bit_order == "msb-first", in_columns=order.in_columns,
    )  # fmt: skip

    first, *_ = inspect(encode(image)).findings

    assert (first.place, first.name, first.payload.text) == (Place.PIXELS, name, TEXT)


def test_a_pattern_of_the_picture_does_not_come_before_a_text() -> None:
    pattern = bytearray(b"U" * 380)
    for place, letter in enumerate(b"TQEPA@DGVW"):
        pattern[37 * place + 5] = letter
    image = hide_in_pixels(
        Image.new("RGB", (60, 40), (1, 2, 2)), (0,), 2, bytes(pattern), msb_first=True, in_columns=False
    )
    image = hide_in_pixels(image, (2,), 1, TEXT.encode() + b"\x00", msb_first=True, in_columns=False)

    findings = inspect(encode(image)).findings

    assert (findings[0].name, findings[0].payload.text) == ("B, 1 bit, msb-first", TEXT)
    assert any((finding.payload.text or "").startswith("UUUUUTUUU") for finding in findings)


def test_every_order_that_is_asked_for_is_there() -> None:
    for wanted in (
        "R,G,B, 1 bit, lsb-first",
        "B,G,R, 2 bits, msb-first, columns",
        "R,G,B,A, 1 bit, msb-first",
        "A, 2 bits, lsb-first",
    ):
        assert wanted in NAMES["RGBA"]


@pytest.mark.parametrize("container", FULL)
def test_whatever_is_written_beside_the_picture_is_shown(container: str) -> None:
    make, names = FULL[container]

    texts = read_texts(inspect(make()))

    assert {name: texts.get(name) for name in names} == {name: TEXTS[name] for name in names}


def test_a_thumbnail_is_a_file_of_its_own() -> None:
    (finding,) = [each for each in inspect(make_full_jpeg()).findings if each.name == "thumbnail"]

    assert (finding.place, finding.payload.kind) == (Place.METADATA, PayloadKind.JPEG)


@pytest.mark.parametrize("packed", [True, False])
def test_a_profile_says_who_made_it(packed: bool) -> None:
    description = "A profile that says something.".encode("utf-16-be")
    value = b"mluc" + bytes(4) + (1).to_bytes(4, "big") + (12).to_bytes(4, "big") + b"enUS"
    value += len(description).to_bytes(4, "big") + (28).to_bytes(4, "big") + description
    profile = (
        bytes(128) + (1).to_bytes(4, "big") + b"desc" + (144).to_bytes(4, "big") + len(value).to_bytes(4, "big") + value
    )

    texts = read_texts(inspect(encode(draw_grained(), "PNG" if packed else "JPEG", icc_profile=profile)))

    assert texts["ICC description"] == "A profile that says something."


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_file_is_looked_into(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([make_full_png(), make_full_jpeg(), make_full_gif(), encode_pattern("WEBP")]))
    spoilt = bytearray(whole[: data.draw(st.integers(1, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        spoilt[data.draw(st.integers(0, min(len(spoilt), 700) - 1))] = data.draw(st.integers(0, 255))

    list(list_metadata(bytes(spoilt)))
    found = inspect_image(Image.new("P", (3, 2)), bytes(spoilt))

    assert found.size_bytes == len(spoilt)

"""A decoding process's description of a payload: validated, complete, and fit to be stored."""

import json
from typing import Any

import pytest

from starlight_vocabulary.payload import Member, PayloadKind
from starlight_vocabulary.records import to_json
from tests.kit.payloads import make_payload
from worker.scanning.image_error import ImageError
from worker.scanning.looks import read_inspection, read_planes
from worker.scanning.payload_text import ABOUT_BYTES, read_payload_text, write_payload_text


@pytest.mark.parametrize(
    "payload",
    [
        make_payload(),
        make_payload(kind=PayloadKind.EMPTY, size=0, text=None),
        make_payload(kind=PayloadKind.ZIP, text=None, listing=[Member("ü 🌍.txt", 2**40)], entropy=7.25, detail="more"),
        make_payload(text="ä" * 100_000, size=None, truncated=True),
    ],
)
def test_a_payload_comes_as_it_went(payload: Any) -> None:
    assert read_payload_text(*write_payload_text(payload)) == payload


def test_what_postgresql_cannot_hold_is_replaced() -> None:
    payload = make_payload(text="a\0b", detail="\0", listing=[Member("\0", 1)])

    read = read_payload_text(*write_payload_text(payload))

    assert read == make_payload(text="a␀b", detail="␀", listing=[Member("␀", 1)])


def test_a_listing_with_no_room_is_left_out() -> None:
    payload = make_payload(kind=PayloadKind.TAR, text=None, listing=[Member("🌍" * 255, 1)] * 100)

    about, text = write_payload_text(payload)

    assert len(about) <= ABOUT_BYTES
    assert read_payload_text(about, text) == make_payload(kind=PayloadKind.TAR, text=None, truncated=True)


GOOD = to_json(make_payload())


@pytest.mark.parametrize(
    "about",
    [
        b"", b"\xff", b"null", b"[]", b"{}", b"[" * 10_000,
        *(json.dumps({**GOOD, **wrong}).encode() for wrong in (
            {"kind": "\u001b[31m"}, {"size": "many"}, {"offset": None}, {"listing": [{"name": 5, "size": {}}]},
            {"header": ["a"]}, {"truncated": "perhaps"},
        )),
    ],
)  # fmt: skip
def test_what_is_no_payload_is_none(about: bytes) -> None:
    assert read_payload_text(about, b"text") is None


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"{}", b'{"findings": [{}]}'])
def test_what_is_no_inspection_is_an_error_of_the_image(text: bytes) -> None:
    with pytest.raises(ImageError):
        read_inspection(text)


@pytest.mark.parametrize("text", [b"", b"[]", b'{"r-bit-0": 5}', b'{"r-bit-0": "\xc3\xa4"}'])
def test_what_are_no_pictures_is_an_error_of_the_image(text: bytes) -> None:
    with pytest.raises(ImageError):
        read_planes(text)


def test_pictures_have_harmless_names() -> None:
    assert read_planes(b'{"../../x": "AAAA", "r-bit-0": "AAAA", "R": "AAAA", "": "AAAA"}') == {"r-bit-0": bytes(3)}

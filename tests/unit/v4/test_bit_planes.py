"""Pictures of bit planes show the bits and mark the payload; evidence lists the available planes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.kit.hiding import hide_in_pixels
from tests.kit.pictures import decode, draw_grained, draw_noise, encode
from worker.v4.bit_planes import (
    NO_SAMPLES,
    MarkedSamples,
    draw_bit_planes,
    draw_marked_plane,
    find_marked_samples,
    list_bit_planes,
)
from worker.v4.evidence import collect_evidence
from worker.v4.inspection import inspect_image

TEXT = b"meet me at the mill"
MOST = 2**20
# Mode, channels and hidden bytes of each method.
HIDDEN = {
    "alpha": ("RGBA", (3,), b"AI42" + TEXT + b"\0"),
    "palette": ("P", (0,), TEXT + b"\0"),
    "lsb.rgb": ("RGB", (0, 1, 2), TEXT + b"\0"),
}


def hide(method: str) -> Image.Image:
    mode, channels, hidden = HIDDEN[method]
    cover = draw_noise(mode) if mode == "P" else draw_grained(mode, size=40)
    return hide_in_pixels(cover, channels, 1, hidden, msb_first=False, in_columns=False)


def read_plane(picture: bytes) -> NDArray[np.uint8]:
    """Return the drawn plane: in bit 0 the bit of each pixel, in bit 1 whether it is marked."""
    image = decode(picture)
    assert (image.format, image.mode) == ("PNG", "P")
    return np.asarray(image)


def test_bit_planes_are_pictures_of_the_lowest_bits() -> None:
    image = draw_noise("RGBA", 30, 20)
    planes = dict(draw_bit_planes(image))

    assert list(planes) == [f"{band}-bit-{bit}" for band in "rgba" for bit in (0, 1)]
    for number, band in enumerate("rgba"):
        for bit in (0, 1):
            drawn = np.asarray(decode(planes[f"{band}-bit-{bit}"]).convert("L")) > 0
            assert (drawn == (np.asarray(image)[..., number] >> bit & 1)).all()


def test_of_a_large_image_the_first_rows_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.v4.bit_planes.MAX_PICTURE_PIXELS", 100)

    assert {decode(plane).size for _, plane in draw_bit_planes(draw_noise("L", 30, 20))} == {(30, 3)}


@pytest.mark.parametrize("mode", ["1", "I;16", "I", "F"])
def test_samples_of_other_sizes_are_left_out(mode: str) -> None:
    image = Image.new(mode, (20, 10))

    assert [finding.place for finding in inspect_image(image, b"").findings] == []
    assert dict(draw_bit_planes(image)) == {}
    assert draw_marked_plane(image, "l-bit-0", NO_SAMPLES, MOST) == b""


@pytest.mark.parametrize("method", HIDDEN)
def test_the_samples_of_a_payload_are_marked(method: str) -> None:
    image = hide(method)
    _, channels, hidden = HIDDEN[method]
    bits = 8 * (len(hidden) - 1)

    marked = find_marked_samples(image, encode(image), method, "lsb-first")
    count = 0
    for name, channel, bit in list_bit_planes(image):
        plane = read_plane(draw_marked_plane(image, name, marked, MOST))
        samples = np.asarray(image).reshape(image.height, image.width, -1)[..., channel]
        assert (plane & 1 == samples >> bit & 1).all()
        inside = np.flatnonzero(plane >> 1)
        # The payload is marked from the first pixel on, without gaps.
        assert inside.tolist() == list(range(inside.size))
        assert bool(inside.size) == (channel in channels and bit == 0)
        count += inside.size
    assert count == bits


def test_an_image_without_a_payload_has_nothing_marked() -> None:
    image = draw_noise("RGB")

    assert find_marked_samples(image, encode(image), "alpha", "lsb-first") == NO_SAMPLES
    assert find_marked_samples(image, encode(image), "exif", None) == NO_SAMPLES


def test_the_start_of_an_image_is_drawn_alone_and_what_does_not_fit_is_cut() -> None:
    image = draw_noise("L", 300, 200)

    assert read_plane(draw_marked_plane(image, "l-bit-0", NO_SAMPLES, MOST, near=True)).shape == (32, 128)
    whole = draw_marked_plane(image, "l-bit-0", NO_SAMPLES, MOST)
    cut = draw_marked_plane(image, "l-bit-0", NO_SAMPLES, len(whole) - 1)
    assert len(cut) < len(whole)
    assert (read_plane(cut) == read_plane(whole)[:100]).all()
    assert draw_marked_plane(image, "l-bit-0", NO_SAMPLES, 10) == b""


def test_of_a_payload_that_does_not_fill_its_last_pixel_only_some_channels_are_marked_there() -> None:
    marked = MarkedSamples((0, 1, 2), 4)

    assert [marked.count_pixels(channel) for channel in range(4)] == [2, 1, 1, 0]


@pytest.mark.parametrize("method", HIDDEN)
def test_evidence_names_the_planes_and_shows_the_bytes(method: str) -> None:
    image = hide(method)
    _, channels, hidden = HIDDEN[method]

    found = collect_evidence(image, encode(image) + b"behind", method, "lsb-first")

    assert bytes.fromhex(found.carrier).startswith(hidden)
    assert found.payload_bytes == len(hidden) - 1
    assert found.marked == [f"{image.getbands()[channel].lower()}-bit-0" for channel in channels]
    assert len(found.planes) == 8 * len(image.getbands())
    assert (bytes.fromhex(found.trailing), found.trailing_bytes) == (b"behind", 6)


def test_without_a_method_no_carrier_is_shown() -> None:
    found = collect_evidence(draw_noise("RGB"), b"no image", None, None)

    assert (found.carrier, found.carrier_bytes, found.payload_bytes, found.marked) == ("", 0, None, [])


def test_bytes_behind_the_end_are_those_that_raw_hides() -> None:
    image = draw_noise("RGB")

    found = collect_evidence(image, encode(image) + b"from behind\0", "raw", None)

    assert bytes.fromhex(found.carrier) == bytes.fromhex(found.trailing) == b"from behind\0"
    assert (found.payload_bytes, found.marked) == (11, [])

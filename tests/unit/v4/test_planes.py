"""Planes of every mode and size, from the first pixel."""

import time

import numpy as np
import pytest
from PIL import Image

from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.planes import CROP, MODES, PLANES, SAMPLES, extract_planes, read_number


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "other"] + ["La", "RGBa", "I;16B"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 9000), (9000, 1), (300, 200)])
def test_every_mode_and_size_gives_planes(mode: str, size: tuple[int, int]) -> None:
    planes = extract_planes(Image.new(mode, size), b"")
    assert planes["pixel"].shape == (CROP, CROP, 3)
    assert planes["rgb"].shape == planes["alpha"].shape == planes["index"].shape == (SAMPLES,)
    assert (read_number(planes, "width"), read_number(planes, "height")) == size


def test_planes_leave_nothing_of_what_stood_in_their_place() -> None:
    dirty = np.full(1, 255, np.uint8).repeat(PLANES.itemsize).view(PLANES)
    image, data = draw_noise("RGBA", 20, 10), b""

    assert extract_planes(image, data, dirty[0]).tobytes() == extract_planes(image, data).tobytes()
    assert dirty.tobytes() == extract_planes(image, data).tobytes()


def test_samples_are_interleaved_from_the_first_pixel() -> None:
    image = draw_noise("RGBA", 100, 60)
    planes = extract_planes(image, b"")
    pixels = np.asarray(image).reshape(-1, 4)
    assert read_number(planes, "rgb_count") == SAMPLES
    assert read_number(planes, "alpha_count") == 6000
    assert (planes["rgb"] == pixels[:, :3].reshape(-1)[:SAMPLES]).all()
    assert (planes["alpha"][:6000] == pixels[:, 3]).all()
    assert not planes["alpha"][6000:].any()


@pytest.mark.parametrize("mode", ["P", "L"])
def test_single_channel_samples_are_taken_unconverted(mode: str) -> None:
    image = draw_noise(mode, 20, 10)
    planes = extract_planes(image, b"")
    assert read_number(planes, "index_count") == 200
    assert planes["index"][:200].tobytes() == image.tobytes()
    assert read_number(planes, "rgb_count") == read_number(planes, "alpha_count") == 0
    assert read_number(planes, "palette_colours") == (256 if mode == "P" else 0)


def test_the_crop_is_the_centre() -> None:
    image = draw_noise("RGB", 100, 80)
    box = (34, 24, 66, 56)
    assert (extract_planes(image, b"")["pixel"] == np.asarray(image.crop(box))).all()


def test_metadata_is_taken_from_the_file() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"a comment"
    data = encode(draw_noise("RGB"), "JPEG", exif=exif) + bytes(range(200)) * 10
    planes = extract_planes(decode(data), data)
    assert planes["user_comment"][:9].tobytes() == b"a comment"
    assert read_number(planes, "user_comment_size") == 9
    assert read_number(planes, "trailing_size") == 2000
    # The last bytes are kept too, because the end of a file is informative.
    assert planes["trailing"][:960].tobytes() == (bytes(range(200)) * 10)[:960]
    assert planes["trailing"][960:].tobytes() == (bytes(range(200)) * 10)[-64:]


def test_a_large_picture_costs_about_what_a_small_one_does() -> None:
    def cost(image: Image.Image) -> float:
        started = time.process_time()
        for _ in range(20):
            extract_planes(image, b"")
        return (time.process_time() - started) / 20

    small, large = Image.new("RGB", (256, 256)), Image.new("RGB", (4000, 3000))
    cost(small)
    assert cost(large) < 5 * cost(small) + 1e-3

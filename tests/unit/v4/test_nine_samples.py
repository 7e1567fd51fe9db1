"""Text of which nine samples hold a byte and a mark is read, and shown by an inspection."""

import numpy as np
import pytest
from PIL import Image

from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.inspection import inspect_image
from worker.v4.nine_samples import NAME, find_nine_samples

TEXT = "Meet me at the bridge at noon, bring the papers. Ünïcode 世界!"


def hide(image: Image.Image, text: bytes) -> Image.Image:
    """Write each byte to the lowest bits of eight samples of R, G, B; the ninth is 1 only behind the last byte."""
    samples = np.asarray(image).copy()
    colours = samples[..., :3].reshape(-1)
    bits = np.zeros((len(text), 9), np.uint8)
    bits[:, :8] = np.unpackbits(np.frombuffer(text, np.uint8)).reshape(-1, 8)
    bits[-1, 8] = 1
    colours[: bits.size] = colours[: bits.size] & 0xFE | bits.reshape(-1)
    samples[..., :3] = colours.reshape(samples.shape[0], samples.shape[1], 3)
    return Image.fromarray(samples, image.mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("text", [TEXT, TEXT * 60])
def test_a_text_is_read_up_to_the_byte_that_is_marked(mode: str, text: str) -> None:
    data = encode(hide(draw_noise(mode, 240, 200), text.encode()))

    first, *_ = inspect_image(decode(data), data).findings

    assert (first.name, first.payload.text) == (NAME, text[: len(first.payload.text or "")])
    assert first.payload.truncated or first.payload.text == text
    assert first.payload.closed_by == "the end of the carrier" or first.payload.truncated


def test_without_a_mark_the_picture_ends_it() -> None:
    found = find_nine_samples(Image.new("RGB", (90, 100)))

    assert found
    assert (found.total, found.take(5000)) == (3000, bytes(3000))


@pytest.mark.parametrize("image", [Image.new("L", (60, 60)), Image.new("CMYK", (60, 60)), Image.new("RGB", (2, 2))])
def test_what_has_no_such_bytes_is_left_out(image: Image.Image) -> None:
    assert find_nine_samples(image) is None


def test_bytes_before_a_mark_that_chance_made_are_left_out() -> None:
    image = Image.new("RGB", (60, 60), (1, 1, 1))

    assert find_nine_samples(image) is None

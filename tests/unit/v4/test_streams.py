"""Each stream, compared with a hand-made example."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from tests.kit.pictures import draw_noise
from worker.v4.byte_statistics import leading_text, stuffing_statistics
from worker.v4.embedding import exif_with_comment
from worker.v4.pair_statistics import PAIR_FEATURES
from worker.v4.planes import extract_planes
from worker.v4.streams import CONTENT_FEATURES, FORMAT_FEATURES, SLOTS, Streams, compute, stack
from worker.v4.utf8 import PADDING


def compute_streams(image: Image.Image, data: bytes = b"") -> Streams:
    return compute(stack([extract_planes(image, data)]))


def draw_bits(mode: str, bits: str, base: int) -> Image.Image:
    """Return a one-row image whose samples are `base` plus one bit each; alpha is opaque, or the bits' own for `LA`."""
    samples = np.array([base + int(bit) for bit in bits], np.uint8)
    if mode == "RGB":
        return Image.fromarray(samples.reshape(1, -1, 3))
    if mode == "LA":
        return Image.fromarray(np.stack([np.zeros_like(samples), samples], axis=-1)[None], "LA")
    image = Image.frombytes("P", (len(samples), 1), samples.tobytes())
    image.putpalette([10, 20, 30, 255, 0, 51])
    return image


# "A" is 0x41 = 01000001; "B" is 0x42 = 01000010.
LSB_FIRST = "10000010" + "01000010"
MSB_FIRST = "01000001" + "01000010"


@pytest.mark.parametrize(("bits", "row"), [(LSB_FIRST, 0), (MSB_FIRST, 1)])
def test_lsb_packs_interleaved_samples_in_both_orders(bits: str, row: int) -> None:
    lsb = compute_streams(draw_bits("RGB", bits + "00", 100)).lsb[0]
    assert lsb[row, :2].tolist() == [ord("A"), ord("B")]
    assert lsb[:, 2:].eq(PADDING).all()


@pytest.mark.parametrize(("bits", "row"), [(LSB_FIRST, 0), (MSB_FIRST, 1)])
def test_palette_lsb_packs_indices(bits: str, row: int) -> None:
    streams = compute_streams(draw_bits("P", bits, 0))
    assert streams.palette_lsb[0, row, :2].tolist() == [ord("A"), ord("B")]
    assert streams.lsb.eq(PADDING).all()


def test_palette_is_the_colour_table() -> None:
    palette = compute_streams(draw_bits("P", LSB_FIRST, 0)).palette[0]
    assert torch.allclose(palette[:6], torch.tensor([10, 20, 30, 255, 0, 51]) / 255)
    assert not palette[6:].any()


def test_alpha_packs_least_significant_bits_first() -> None:
    assert compute_streams(draw_bits("LA", LSB_FIRST, 254)).alpha[0, 0, :3].tolist() == [65, 66, PADDING]


def test_pixel_is_the_crop_between_minus_one_and_one() -> None:
    image = Image.new("RGB", (32, 32), (0, 255, 51))
    pixel = compute_streams(image).pixel[0]
    assert torch.allclose(pixel[:, 5, 7], torch.tensor([-1.0, 1.0, -0.6]))


def test_meta_holds_the_trailing_bytes_from_both_ends() -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IEND" + bytes(4) + b"tail"
    meta = compute_streams(Image.new("L", (1, 1)), data).meta[0]
    assert meta[:2].eq(PADDING).all()
    assert meta[2, :5].tolist() == [*b"tail", PADDING]
    assert meta[3, :5].tolist() == [*b"liat", PADDING]


def test_the_end_of_many_trailing_bytes_is_their_last_64_backwards() -> None:
    trailing = bytes(range(256)) * 16
    data = b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IEND" + bytes(4) + trailing
    meta = compute_streams(Image.new("L", (1, 1)), data).meta[0]
    assert meta[3, :65].tolist() == [*range(255, 191, -1), PADDING]


def test_meta_holds_the_comment_and_its_text() -> None:
    comment = b"UNICODE\x00" + "żar".encode("utf-16-be")
    image, buffer = Image.new("L", (1, 1)), io.BytesIO()
    image.save(buffer, "JPEG", exif=exif_with_comment(comment))
    meta = compute_streams(image, buffer.getvalue()).meta[0]
    assert meta[0, :15].tolist() == [*comment, PADDING]
    assert meta[1, :5].tolist() == [*"żar".encode(), PADDING]


def test_format_states_mode_container_and_sizes() -> None:
    one = compute_streams(Image.new("L", (16, 9))).format[0]
    other = compute_streams(Image.new("RGBA", (16, 9))).format[0]
    assert one.shape == (FORMAT_FEATURES,)
    assert not torch.equal(one, other)
    # Sizes above 128 pixels are not informative.
    large, larger = (compute_streams(Image.new("RGB", size)).format for size in ((500, 400), (4000, 3000)))
    assert torch.equal(large, larger)


def test_content_counts_kinds_of_bytes() -> None:
    data = b"\x89PNG\r\n\x1a\n" + bytes(4) + b"IEND" + bytes(4) + b"ab 1" + b"\x00\xff\x80\x80"
    content = compute_streams(Image.new("1", (1, 1)), data).content[0, SLOTS.index("raw")]
    # Of the eight bytes: printable, letters, beyond ASCII, spaces, zeros, 255s.
    assert content.shape == (CONTENT_FEATURES,)
    assert (content[:6] * 8).tolist() == [4, 2, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("data", "stuffed", "as_in_scans"),
    [
        (b"\xff\x00a\xff\x00b\xff\x00", 3, True),
        (b"\xff\x00a\xffb", 1, False),
        (b"abc", 0, False),
        (b"ab\xff", 0, False),
    ],
)
def test_zeros_behind_bytes_255_are_counted(data: bytes, stuffed: int, as_in_scans: bool) -> None:
    tokens = torch.full((1, 16), PADDING)
    tokens[0, : len(data)] = torch.tensor(list(data))

    assert stuffing_statistics(tokens)[0].tolist() == [math.log2(1 + stuffed) / 4, as_in_scans]


@pytest.mark.parametrize(
    ("data", "length", "ended_by"),
    [
        (b"hello\x00abc", 5, "zero"),
        ("\u660e\u5929\u0436".encode() + b"\x00", 8, "zero"),
        ("a\U0001f600b".encode() + b"\x01", 6, None),
        (b"ab\x80c", 2, None),
        (b"\xe4\xb8a", 2, None),
        (b"line\r\n\tx", 8, "padding"),
        (b"\xff\xfe", 0, None),
        (b"x" * 300, 32, "window"),
    ],
)
def test_leading_text_is_the_run_of_utf8(data: bytes, length: int, ended_by: str | None) -> None:
    tokens = torch.full((1, 32), PADDING)
    tokens[0, : min(32, len(data))] = torch.tensor(list(data[:32]))
    features = leading_text(tokens)[0]
    assert features[5] * 32 == pytest.approx(length)
    assert [bool(flag) for flag in features[6:9]] == [ended_by == end for end in ("zero", "padding", "window")]


def test_leading_text_counts_kinds_and_repetition() -> None:
    features = leading_text(torch.tensor([[*b"ababab 1", 0]]))[0]
    # Printable, letters, beyond ASCII, spaces; then how many differ, the commonest, repetition at distances 1 and 2.
    assert (features[9:13] * 8).tolist() == [8, 6, 0, 1]
    assert (features[15:17] * 8).tolist() == [4, 3]
    assert features[17:19].tolist() == pytest.approx([0, 4 / 6])


def test_pairs_tell_value_pairs_apart() -> None:
    # 10 to 11 stays within the pair (10, 11); 11 to 12 crosses pairs.
    image = Image.fromarray(np.array([[10, 11, 12, 12]], np.uint8), "L")
    pairs = compute_streams(image).pairs[0, 1]
    shares = pairs[:14].reshape(2, 7)
    assert pairs.shape == (PAIR_FEATURES,)
    # Rows are the parity of the first value, columns the difference -3 to 3.
    assert torch.allclose(shares[0], torch.tensor([0, 0, 0, 1, 1, 0, 0]) / 3)
    assert torch.allclose(shares[1], torch.tensor([0, 0, 0, 0, 1, 0, 0]) / 3)


def test_an_image_has_the_same_streams_in_any_batch() -> None:
    planes = [
        extract_planes(draw_noise(mode, seed=seed), b"") for seed, mode in enumerate(("RGB", "P", "LA", "RGBA", "1"))
    ]
    together = compute(stack(planes))
    for position, alone in enumerate(planes):
        one = compute(stack([alone]))
        for name in ("pixel", "lsb", "palette_lsb", "alpha", "format", "content", "pairs"):
            assert torch.equal(getattr(one, name)[0], getattr(together, name)[position]), name

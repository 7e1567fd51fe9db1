"""What decoding processes are asked beside planes: messages, inspections, evidence, drawings, and hiding."""

from collections.abc import Callable, Iterator

import pytest

from starlight_vocabulary.payload import PayloadKind
from starlight_vocabulary.words import BitOrder, ErrorCode, Method
from tests.kit import crashing_decoder
from tests.kit.decoding_pools import OpenPool, list_child_processes, open_pools
from tests.kit.hiding import TEXTS, make_full_png
from tests.kit.pictures import decode, draw_pattern, encode, encode_pattern, encode_strip, encode_truncated
from worker.scanning.decoding_client import HiddenPayload, PlaneChoice
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.hiding import read_answer
from worker.scanning.image_error import ImageError


@pytest.fixture
def open_pool() -> Iterator[OpenPool]:
    with open_pools() as open_one:
        yield open_one


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    with open_pools() as open_one:
        yield open_one()


def test_messages_are_read_from_whole_and_damaged_images(open_pool: OpenPool) -> None:
    whole = encode_strip(3, b"hello\0")
    shown = encode(draw_pattern(), "BMP")
    hidden = [
        HiddenPayload(whole, Method.RAW, BitOrder.NONE),
        HiddenPayload(b"no image", Method.RAW, None),
        HiddenPayload(shown + b"\xff" * 100, Method.RAW, BitOrder.NONE),
        HiddenPayload(encode_truncated("JPEG"), Method.LSB_RGB, BitOrder.LSB_FIRST),
    ]

    text, nothing, described, damaged = open_pool().read_payloads(hidden)

    assert text is not None
    assert (text.text, text.size, text.kind) == ("hello", 5, PayloadKind.TEXT)
    assert nothing is None
    assert described is not None
    assert (described.text, described.size) == (None, 100)
    assert damaged is not None


def test_an_image_is_looked_into_and_its_bit_planes_are_drawn(pool: DecodingPool) -> None:
    found = pool.inspect(make_full_png())
    planes = pool.draw_bit_planes(make_full_png())

    texts = {finding.name: finding.payload.text for finding in found.findings}
    assert texts["tEXt 'Author'"] == TEXTS["tEXt 'Author'"]
    assert (found.format, found.mode, found.width, found.damage) == ("PNG", "RGB", 64, None)
    assert {name: decode(plane).size for name, plane in planes.items()} == {
        f"{band}-bit-{bit}": (64, 64) for band in "rgb" for bit in (0, 1)
    }
    assert pool.inspect(encode_truncated()).damage


def test_evidence_is_collected_and_a_bit_plane_drawn(pool: DecodingPool) -> None:
    hidden = HiddenPayload(make_full_png(), Method.RAW, None)

    evidence = pool.collect_evidence(hidden)
    planes = [pool.draw_bit_plane(hidden, PlaneChoice(name, near=True)) for name in ("b-bit-7", "a-bit-0")]

    assert bytes.fromhex(evidence.carrier) == TEXTS["after the image's end"].encode()
    assert planes[0] is not None
    assert decode(planes[0]).size == (64, 32)
    assert planes[1] is None
    assert pool.draw_bit_plane(HiddenPayload(b"no image", None, None), PlaneChoice("r-bit-0", near=False)) is None


def test_what_cannot_be_looked_into_has_a_reason_and_costs_no_process(pool: DecodingPool) -> None:
    pool.decode([encode_pattern()])
    before = list_child_processes()

    with pytest.raises(ImageError, match="supported format"):
        pool.inspect(b"hello")

    assert list_child_processes() == before


def hide(pool: DecodingPool, data: bytes) -> bytes:
    return pool.hide(data, Method.RAW, b"a message").data


def test_a_message_is_hidden_by_a_decoder(pool: DecodingPool) -> None:
    data = encode_pattern()

    assert hide(pool, data) == data + b"a message\x00"


@pytest.mark.parametrize(
    "answer", [b"", bytes([5]), bytes([254]) + encode_pattern(), bytes([0]) + encode_pattern("GIF", "P"), bytes([0])]
)
def test_an_answer_that_is_no_image_of_the_format_is_not_believed(answer: bytes) -> None:
    with pytest.raises(ImageError, match="no image of its format"):
        read_answer(answer, encode_pattern())


@pytest.mark.parametrize("ask", [DecodingPool.inspect, DecodingPool.draw_bit_planes, hide])
def test_an_image_that_ends_who_looks_into_it_has_a_reason(
    open_pool: OpenPool, ask: Callable[[DecodingPool, bytes], object]
) -> None:
    with pytest.raises(ImageError) as raised:
        ask(open_pool(module=crashing_decoder.__name__), encode_strip(crashing_decoder.ALWAYS))

    assert raised.value.code is ErrorCode.DECODER_CRASH

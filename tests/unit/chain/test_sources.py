"""`bitcoin:…` as a source: its images are stored under the names of their inscriptions."""

import logging
from io import BytesIO

import brotli
import pytest

from producer.chain.errors import ChainError
from producer.chain.sources import expand_chain_source, read_chain_source
from producer.sources.expansion import Sources, format_reference
from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from storage.settings import Settings
from tests.kit.chain import get_id, inscribe, make_script, spend
from tests.kit.chain_node import ChainNode
from tests.kit.loading import BytesLoader
from tests.kit.pictures import encode_pattern
from worker.scanning.image_error import ImageError

PICTURES = [encode_pattern(size=(8, height)) for height in range(4)[1:]]


@pytest.fixture
def blobs(settings: Settings) -> Blobs:
    return Blobs(settings.blobs())


def expand(text: str, blobs: Blobs, settings: Settings) -> list[str]:
    return list(expand_chain_source(text, blobs, settings))


def test_images_of_blocks_are_stored_and_named_and_the_rest_is_counted(
    node: ChainNode, blobs: Blobs, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first = spend(make_script(inscribe(b"text", "text/plain"), inscribe(PICTURES[0])))
    second = spend(
        make_script(inscribe(PICTURES[1])), make_script(inscribe(PICTURES[2]), inscribe(b"", "", (11, b"id")))
    )
    node.add(first)
    node.add(second)

    with caplog.at_level(logging.INFO):
        found = expand("bitcoin:blocks/1-2", blobs, settings)

    names = [f"bitcoin:{get_id(first)}:i1", f"bitcoin:{get_id(second)}:i0", f"bitcoin:{get_id(second)}:i1"]
    assert [format_reference(uri) for uri in found] == names
    assert [uri.partition("/bitcoin:")[2] for uri in found] == [name.removeprefix("bitcoin:") for name in names]
    assert [BytesLoader(blobs, 10_000).load(uri) for uri in found] == PICTURES
    assert caplog.messages == [
        "block 1: 2 inscriptions: 1 images, 0 delegates, 1 others",
        "block 2: 3 inscriptions: 2 images, 1 delegates, 0 others",
    ]


def test_transactions_and_blocks_are_named_by_their_ids(node: ChainNode, blobs: Blobs, settings: Settings) -> None:
    block = node.add(transaction := spend(make_script(inscribe(PICTURES[0]))))
    name = f"bitcoin:{get_id(transaction)}:i0"

    for source in (f"tx/{get_id(transaction)}", f"tx/{get_id(transaction).upper()}", f"block/{get_id(block)}"):
        assert [format_reference(uri) for uri in expand(f"bitcoin:{source}", blobs, settings)] == [name]


def test_lists_of_names_have_blocks_and_transactions_among_them(
    node: ChainNode, blobs: Blobs, settings: Settings
) -> None:
    transaction = spend(make_script(inscribe(PICTURES[0])))
    node.add(transaction)
    named = f"https://example.com/1.png\nbitcoin:block/1\nbitcoin:tx/{get_id(transaction)}\n2.png\n".encode()

    first, second, third, fourth = Sources(blobs, settings).from_list(BytesIO(named))

    assert first == "https://example.com/1.png"
    assert second == third
    assert format_reference(str(second)) == f"bitcoin:{get_id(transaction)}:i0"
    assert str(fourth).endswith("/2.png")
    with pytest.raises(ChainError, match="is not a chain source"):
        list(Sources(blobs, settings).from_list(BytesIO(b"bitcoin:what\n")))


@pytest.mark.parametrize(
    "text", ["", "block", "block/", "block/-1", "block/1-2", "blocks/1", "blocks/2-1", "tx/12", "tx/", "block/٣", "x/1"]
)
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(ChainError, match=r"is not a chain source|ends before it begins"):
        read_chain_source(f"bitcoin:{text}")


def test_what_a_node_does_not_have_is_told(node: ChainNode, blobs: Blobs, settings: Settings) -> None:
    for source, reason in (
        ("block/7", "there is no block 7 yet: the newest is 0"),
        (f"block/{'ab' * 32}", "the node has no block abab"),
        (f"tx/{'ab' * 32}", "the node has no transaction abab.*txindex=1"),
    ):
        with pytest.raises(ChainError, match=reason):
            expand(f"bitcoin:{source}", blobs, settings)


def test_what_a_node_sends_in_place_of_what_was_asked_for_is_refused(
    node: ChainNode, blobs: Blobs, settings: Settings
) -> None:
    node.add(spend(make_script(inscribe(PICTURES[0]))))
    node.spoil = lambda data: data[:-1]

    with pytest.raises(ChainError, match=r"something else instead of the block [0-9a-f]{64}: it is cut or damaged"):
        expand("bitcoin:block/1", blobs, settings)


def test_a_chain_that_is_reorganised_while_it_is_read_is_told(
    node: ChainNode, blobs: Blobs, settings: Settings
) -> None:
    node.add()
    node.add()

    def reorganise(data: bytes) -> bytes:
        if node.blocks[1].header.nonce == 0:
            node.forget(2)
            node.add(extra=1)
            node.add(extra=1)
        return data

    node.spoil = reorganise

    with pytest.raises(ChainError, match=r"reorganised meanwhile: block 2 does not follow .*; submit it again"):
        expand("bitcoin:blocks/1-2", blobs, settings)


def test_an_image_that_unpacks_to_too_much_is_an_error_of_its_own(
    node: ChainNode, blobs: Blobs, settings: Settings
) -> None:
    bomb, image = inscribe(brotli.compress(PICTURES[0] + bytes(2**20)), "image/png", (9, b"br")), inscribe(PICTURES[1])
    node.add(transaction := spend(make_script(bomb, image)))

    found = expand("bitcoin:block/1", blobs, settings.model_copy(update={"max_inscribed_bytes": 2**20}))

    name = f"bitcoin:{get_id(transaction)}"
    assert [format_reference(uri) for uri in found] == [f"{name}:i0", f"{name}:i1"]
    assert found[0] == f"{name}:i0"
    with pytest.raises(ImageError, match="STARLIGHT_MAX_INSCRIBED_BYTES") as caught:
        BytesLoader(blobs, 10_000).load(found[0])
    assert caught.value.code == ErrorCode.TOO_LARGE

"""Blocks and transactions: read, or refused if they are not the requested ones."""

from collections.abc import Callable

import pytest
from btclib.block.block import Block
from btclib.script.witness import Witness

from producer.chain.reading import FaultError, read_images
from producer.chain.wanted import Wanted
from producer.sources.archive_reading import ArchiveLimits
from tests.kit.chain import GENESIS, get_id, inscribe, make_block, make_script, serialize, spend
from tests.kit.pictures import decode, encode_pattern
from tests.kit.real_transactions import REAL

LIMITS = ArchiveLimits(1000, 10_000_000, 1000, 60, 0)
PICTURE = encode_pattern()
REVEAL = spend(make_script(inscribe(PICTURE), inscribe(b"text", "text/plain"), inscribe(b"", "", (11, b"id"))))
OTHER = spend(make_script(inscribe(PICTURE + bytes(2000))))


def read(data: bytes, wanted: Wanted) -> list[tuple[str, bytes | None]]:
    """Return what is sent for each inscription."""
    return [
        (each.name, None if each.pieces is None else b"".join(each.pieces))
        for each in read_images(data, wanted, LIMITS)
    ]


def refuse(data: bytes, wanted: Wanted) -> str:
    """Return the fault for which the data is refused."""
    with pytest.raises(FaultError) as caught:
        read(data, wanted)
    return str(caught.value)


@pytest.mark.parametrize("txid", REAL)
def test_images_of_real_transactions_are_read(txid: str) -> None:
    [(name, data)] = read(REAL[txid], Wanted("transaction", txid, None))

    assert name == f"{txid}:i0 image"
    assert data is not None
    assert decode(data).format == "PNG"


def test_inscriptions_of_a_block_are_read_in_its_order() -> None:
    block = make_block(840_000, GENESIS, [REVEAL, OTHER])

    found = read(serialize(block), Wanted("block", get_id(block), 840_000))

    first, second = get_id(REVEAL), get_id(OTHER)
    assert found == [
        (f"{first}:i0 image", PICTURE),
        (f"{first}:i1 other", b""),
        (f"{first}:i2 delegate", b""),
        # As of any image, only the bytes up to the limit are read.
        (f"{second}:i0 image", (PICTURE + bytes(2000))[:1000]),
    ]


def test_what_is_cut_or_damaged_is_refused() -> None:
    for sent, wanted in (
        (serialize(REVEAL), Wanted("transaction", get_id(REVEAL), None)),
        (serialize(block := make_block(1, GENESIS, [REVEAL])), Wanted("block", get_id(block), 1)),
    ):
        assert refuse(sent[:-1], wanted) == "damaged"
        assert refuse(sent + b"\0", wanted) == "damaged"
        assert refuse(b"", wanted) == "damaged"
        assert refuse(b"<html>" * 100, wanted) in ("damaged", "another")


def test_what_has_another_hash_is_refused() -> None:
    block = make_block(1, GENESIS, [REVEAL])

    assert refuse(serialize(OTHER), Wanted("transaction", get_id(REVEAL), None)) == "another"
    assert refuse(serialize(make_block(1, GENESIS, [OTHER])), Wanted("block", get_id(block), 1)) == "another"


def drop_transaction(block: Block) -> None:
    block.transactions.pop()


def drop_all(block: Block) -> None:
    block.transactions.clear()


def change_witness(block: Block) -> None:
    given = block.transactions[1].vin[0]
    given.script_witness = Witness([*given.script_witness.stack[:2], b"\xc1" + bytes(32)])


def drop_witnesses(block: Block) -> None:
    for transaction in block.transactions:
        for given in transaction.vin:
            given.script_witness = Witness()


def double_transaction(block: Block) -> None:
    block.transactions.append(block.transactions[-1])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (drop_transaction, "changed"),
        (drop_all, "changed"),
        (change_witness, "changed"),
        (double_transaction, "changed"),
        (drop_witnesses, "stripped"),
    ],
)
def test_a_block_whose_header_is_right_and_the_rest_is_not_is_refused(
    change: Callable[[Block], None], fault: str
) -> None:
    block = Block.parse(serialize(make_block(1, GENESIS, [REVEAL, OTHER])), check_validity=False)
    wanted = Wanted("block", get_id(block), 1)
    change(block)

    assert refuse(serialize(block), wanted) == fault


def test_a_block_of_another_height_is_refused() -> None:
    block = make_block(839_999, GENESIS, [REVEAL])
    wanted = Wanted("block", get_id(block), 840_000)

    assert refuse(serialize(block), wanted) == "misplaced"
    assert read(serialize(block), wanted._replace(height=None))
    assert read(serialize(block), wanted._replace(height=839_999))

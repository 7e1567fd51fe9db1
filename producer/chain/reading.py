"""Checking that a node sent the wanted block or transaction, and reading the images inscribed in it.

Only the process that reads blocks imports this. `btclib` parses them and checks their hashes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from btclib.block.block import Block
from btclib.exceptions import BTClibException
from btclib.tx.tx import Tx

from producer.chain.content import DecompressionBudget, open_content
from producer.chain.envelopes import Inscription, read_inscriptions
from producer.chain.wanted import MAX_BLOCK_BYTES, Fault, Wanted
from producer.sources.archive_reading import ArchiveLimits, DamagedError, Entry

# Blocks of this version and later have their height in the first transaction (BIP34).
_FIRST_WITH_HEIGHT: Final = 2


class FaultError(DamagedError):
    """The data is not the wanted block or transaction; `fault` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)


def read_images(data: bytes, wanted: Wanted, limits: ArchiveLimits) -> Iterator[Entry]:
    """Yield an entry `TXID:iN KIND` for each inscription; only images have bytes.

    KIND is `image`, `delegate` or `other`. Raises FaultError.
    """
    # The other half of the time is for parsing the block.
    budget = DecompressionBudget(limits.max_bytes - MAX_BLOCK_BYTES, limits.max_seconds / 2)
    for transaction in read_transactions(data, wanted):
        inscriptions = list(read_inscriptions(transaction))
        name = transaction.id.hex() if inscriptions else ""
        for each in inscriptions:
            yield _describe(f"{name}:i{each.number}", each, budget, limits.max_member_bytes)


def _describe(name: str, inscription: Inscription, budget: DecompressionBudget, most: int) -> Entry:
    try:
        pieces = open_content(inscription.body, inscription.encoding, budget)
    except ValueError:
        # The budget is used up before it is known whether this is an image.
        return Entry(f"{name} image", None)
    if pieces is not None:
        return Entry(f"{name} image", _cut(pieces, most))
    return Entry(f"{name} {'delegate' if inscription.delegate else 'other'}", iter(()))


def _cut(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    for piece in pieces:
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return


def read_transactions(data: bytes, wanted: Wanted) -> Sequence[Tx]:
    """Return the transactions; raises FaultError if their hashes do not match the wanted id."""
    try:
        if wanted.kind == "transaction":
            transaction = Tx.parse(data, check_validity=False)
            if transaction.id.hex() != wanted.id:
                raise FaultError("another")
            return [transaction]
        block = Block.parse(data, check_validity=False)
    except BTClibException as error:
        raise FaultError("damaged") from error
    _check_block(block, wanted)
    return block.transactions


def _check_block(block: Block, wanted: Wanted) -> None:
    if block.header.hash.hex() != wanted.id:
        raise FaultError("another")
    try:
        block.assert_valid_merkle_root()
        if not block.transactions:
            raise FaultError("changed")
        if block.witness_commitment is not None and not block.is_segwit:
            raise FaultError("stripped")
        block.assert_valid_witness_commitment()
    except BTClibException as error:
        raise FaultError("changed") from error
    if wanted.height is not None and block.header.version >= _FIRST_WITH_HEIGHT:
        try:
            block.assert_valid_coinbase_height(wanted.height)
        except BTClibException as error:
            raise FaultError("misplaced") from error

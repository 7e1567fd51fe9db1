"""Fetching blocks and transactions from a node and reading their inscriptions."""

from collections.abc import Generator
from typing import Final, NamedTuple

from producer.chain.errors import NotOnChainError
from producer.chain.inscriptions import Inscribed, read_inscribed
from producer.chain.nodes import Node
from producer.chain.wanted import Wanted
from storage.settings import Settings

# Position of the previous block's hash in a header, in reverse byte order.
_PREVIOUS: Final = slice(4, 36)


class FoundBlock(NamedTuple):
    """A block that a node sent: its id, its height if it was requested by height, and its bytes."""

    id: str
    height: int | None
    sent: bytes

    @property
    def previous(self) -> str:
        """Return the id of the block before it."""
        return self.sent[_PREVIOUS][::-1].hex()


class ChainReader:
    """Reads blocks and transactions of a node; its errors name the one that the node does not have."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node = node
        self._settings = settings

    def find_block(self, height: int) -> str:
        """Return the id of the block at a height; raises ChainError."""
        try:
            return self._node.find_block(height)
        except NotOnChainError as error:
            raise NotOnChainError(
                f"there is no block {height} yet: the newest is {self._node.count_blocks()}"
            ) from error

    def fetch_block(self, block: str, height: int | None = None) -> FoundBlock:
        """Return a block, which is not checked yet; raises ChainError."""
        try:
            return FoundBlock(block, height, self._node.fetch_block(block))
        except NotOnChainError as error:
            raise NotOnChainError(f"the node has no block {block}") from error

    def read_block(self, block: FoundBlock) -> Generator[Inscribed]:
        """Yield the inscriptions of a block; raises ChainError."""
        return read_inscribed(block.sent, Wanted("block", block.id, block.height), self._settings)

    def read_transaction(self, transaction: str) -> Generator[Inscribed]:
        """Yield the inscriptions of a transaction; raises ChainError."""
        try:
            sent = self._node.fetch_transaction(transaction)
        except NotOnChainError as error:
            raise NotOnChainError(
                f"the node has no transaction {transaction}; Bitcoin Core finds those in blocks only with txindex=1"
            ) from error
        return read_inscribed(sent, Wanted("transaction", transaction, None), self._settings)

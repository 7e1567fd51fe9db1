"""The block or transaction that is requested from a node, and the ways in which the answer may be wrong."""

from typing import Final, Literal, NamedTuple, TypeAlias

# Limit of a block's weight; each serialised byte weighs at least one.
MAX_BLOCK_BYTES: Final = 4_000_000

Kind: TypeAlias = Literal["block", "transaction"]
Fault: TypeAlias = Literal["damaged", "another", "changed", "stripped", "misplaced"]


class Wanted(NamedTuple):
    """The requested kind, its id in hex in display order, and the height if a block was requested by height."""

    kind: Kind
    id: str
    height: int | None

"""What is asked of a node, and in which ways what it sends may be something else."""

from typing import Final, Literal, NamedTuple, TypeAlias

# Of a block on the wire: its weight has this bound, and no byte weighs less than one.
MAX_BLOCK_BYTES: Final = 4_000_000

Kind: TypeAlias = Literal["block", "transaction"]
Fault: TypeAlias = Literal["damaged", "another", "changed", "stripped", "misplaced"]


class Wanted(NamedTuple):
    """What was asked for: its kind, its id in hex as people write it, and a block's height where that was asked for."""

    kind: Kind
    id: str
    height: int | None

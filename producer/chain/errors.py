"""Errors of reading the chain."""


class ChainError(Exception):
    """The node does not answer, or its answer is wrong; the message is for the person who asked."""


class UnreadableBlockError(ChainError):
    """The block or transaction cannot be read here, whichever node sends it; the message says why and what to do."""


class NotOnChainError(ChainError):
    """The node does not know the block or transaction."""

"""What goes wrong with the chain."""


class ChainError(Exception):
    """A node that does not answer, or not with what it was asked for; the message is for who asked."""


class UnreadableBlockError(ChainError):
    """A block or transaction that cannot be read here, whoever sends it; the message says why, and what to raise."""


class NotOnChainError(ChainError):
    """The node answers that it knows no such block or transaction."""

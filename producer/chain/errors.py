"""What goes wrong with the chain."""


class ChainError(Exception):
    """A node that does not answer, or not with what it was asked for; the message is for who asked."""


class NotOnChainError(ChainError):
    """The node answers that it knows no such block or transaction."""

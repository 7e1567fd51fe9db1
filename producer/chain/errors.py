"""What goes wrong with the chain."""


class ChainError(Exception):
    """A node that does not answer, or not with what it was asked for; the message is for who asked."""


class TooMuchInBlockError(ChainError):
    """A block or transaction that takes more to read than the settings allow; the message says which one to raise."""


class NotOnChainError(ChainError):
    """The node answers that it knows no such block or transaction."""

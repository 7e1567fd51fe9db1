"""Expected errors of commands."""


class UsageError(Exception):
    """The command cannot do what was requested; the message says why."""


class OutputClosedError(Exception):
    """The reader of the output is gone. Typer itself would exit with 1, which means "something was found"."""

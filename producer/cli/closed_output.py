"""How commands end if their output cannot be written: its reader is gone, as with `| head`, or the disk is full."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from producer.cli.errors import OutputClosedError


class Commands(TyperGroup):
    """A group of commands that end in the same way if nobody reads their output; Typer itself would exit with 1.

    It tells wrong options without the prefix of Pydantic's messages.
    """

    def invoke(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as in Typer
        """Run the command; raises OutputClosedError."""
        with notice_closed_output():
            try:
                return super().invoke(*arguments, **more)
            except typer.BadParameter as error:
                error.message = error.message.removeprefix("Value error, ")
                raise


def discard_output() -> None:
    """Let Python's own flush at the exit succeed, which would otherwise add a message and change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def notice_closed_output() -> Iterator[None]:
    """Raise OutputClosedError if the reader is gone, also if what the block printed was not flushed yet."""
    try:
        try:
            yield
        except typer.Exit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise OutputClosedError from error

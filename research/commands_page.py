"""Writes docs/commands.md from the command-line help: `python -m research.commands_page > docs/commands.md`."""

import re
from typing import Final

import typer
from typer.cli import get_docs_for_click

from producer.cli.command import app

HEAD: Final = """\
# Commands

The output of `starlight COMMAND --help` for every command. The [README](../README.md#using-it) shows when to use which.

`scripts/fix` generates this page from the commands in `producer/cli/commands/`: edit those instead.
"""
_HELP: Final = "* `--help`: Show this message and exit.\n"
# Lists of commands; the generator truncates their descriptions, which follow below in full.
_LIST: Final = re.compile(r"\*\*Commands\*\*:\n\n(?:\*.*\n)+\n*")
_NO_OPTIONS: Final = re.compile(r"\*\*Options\*\*:\n\n(?!\*)")


def page() -> str:
    """Return the whole page."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name=app.info.name or "")
    commands = text[text.index("\n## ") :]
    return HEAD + _NO_OPTIONS.sub("", _LIST.sub("", commands.replace(_HELP, ""))).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")

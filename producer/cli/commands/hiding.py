"""`starlight hide`: hides a message in an image file, for tests and for marking one's own images."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from producer.cli.commands.inspection import read_image
from producer.cli.errors import UsageError
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.words import METHODS, Method
from storage.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("hide")(hide)


def hide(
    image: Annotated[Path, typer.Argument(help="An image file.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; it must not exist.")],
    message: Annotated[str, typer.Option(metavar="TEXT", help="The message; - reads it from standard input.")],
    method: Annotated[
        str, typer.Option(metavar="METHOD", help=f"{', '.join(METHODS)}, or auto: the usual one for the format.")
    ] = "auto",
) -> None:
    """Hide a message in an image; its format, metadata and all other bits are unchanged.

    No server is needed. Messages that do not fit, or would not survive in the file's format, are refused.
    """
    # Imported here, since no other command needs it.
    from worker.image_reading import HidingError, ImageReader

    if method not in (*METHODS, "auto"):
        raise UsageError(f"--method must be one of {', '.join(METHODS)} or auto, not {method!r}")
    data = read_image(image)
    reader = ImageReader(read_settings(), 1)
    try:
        written = (sys.stdin.read() if message == "-" else message).encode("utf-8", "surrogateescape")
        stego = reader.hide(data, None if method == "auto" else Method(method), written)
    except HidingError as error:
        raise UsageError(f"{image}: {error}") from error
    finally:
        reader.close()
    try:
        with output.open("xb") as file:
            file.write(stego.data)
    except FileExistsError as error:
        raise UsageError(f"{output}: this file already exists") from error
    print(f"{escape(str(output))}: {len(written):,} bytes hidden with {stego.method}")

"""`starlight hide`: a message hidden in an image file, for tests, and for those who sign their own images."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from producer.cli.commands.inspection import read_image
from producer.cli.session import UsageError
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.words import METHODS, Method
from storage.settings import read_settings


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("hide")(hide)


def hide(
    image: Annotated[Path, typer.Argument(help="A file.", metavar="IMAGE")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the image goes; it must not be there yet.")],
    message: Annotated[str, typer.Option(metavar="TEXT", help="What is hidden; - reads it from standard input.")],
    method: Annotated[
        str, typer.Option(metavar="METHOD", help=f"{', '.join(METHODS)}, or auto: what is usual for the format.")
    ] = "auto",
) -> None:
    """Hide a message in an image; its format, its metadata and all other bits of it stay.

    No server is needed. What does not fit, or would not survive in the file's format, is refused.
    """
    # Here, not above: no other command has use for it.
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
        raise UsageError(f"{output}: there is such a file already") from error
    print(f"{escape(str(output))}: {len(written):,} bytes hidden with {stego.method}")

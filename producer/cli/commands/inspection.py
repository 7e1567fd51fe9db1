"""`starlight inspect`: shows everything that is in an image file."""

import hashlib
import json
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from producer.cli.errors import UsageError
from producer.cli.folders import check_is_folder
from producer.cli.output import JsonOption, OpenEndedConsole
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.inspection import Finding, Inspection
from starlight_vocabulary.records import from_json
from storage.settings import read_settings

# Width of the table if it is not printed on a terminal, and length at which texts are cut, in characters.
PIPE_WIDTH = 240
SHOWN = 400
TITLES = ("PLACE", "READ AS", "KIND", "SIZE")
MOST_WIDTH = 40


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("inspect")(inspect)


def inspect(
    image: Annotated[Path, typer.Argument(help="An image file.", metavar="IMAGE")],
    as_json: JsonOption = False,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures of the bit planes to this folder.")
    ] = None,
) -> None:
    """Show everything that is in an image file, read by every method and bit order, and the result of V4.

    Nothing is stored, and no server is needed. Readable findings come first; noise has a few characters by chance.
    """
    data = read_image(image)
    if pictures:
        check_is_folder(pictures)
    found = look(image, data, pictures=pictures is not None)
    written = write_pictures(pictures, image, found.pop("pictures")) if pictures else []
    if as_json:
        described = {"file": str(image), "sha256": hashlib.sha256(data).hexdigest(), **found}
        print(json.dumps({**described, "pictures": [str(path) for path in written]}))
    else:
        print_inspection(image, data, found["v4"], from_json(Inspection, found["inspection"]))
        for path in written:
            print(escape(str(path)))


def read_image(path: Path) -> bytes:
    """Return the bytes of a file; raises UsageError if it is not a file, empty or too large."""
    limit = read_settings().max_image_bytes
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if not data:
        raise UsageError(f"{path}: the file is empty")
    if len(data) > limit:
        raise UsageError(f"{path}: larger than {limit:,} bytes; STARLIGHT_MAX_IMAGE_BYTES sets how much is read")
    return data


def look(image: Path, data: bytes, *, pictures: bool) -> dict[str, Any]:
    """Inspect an image in a separate process and return the result; raises UsageError if it cannot be decoded."""
    command = [sys.executable, "-m", "worker.inspect_image", *(["--pictures"] if pictures else [])]
    ran = subprocess.run(command, input=data, capture_output=True)
    if ran.returncode != 0:
        reason = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UsageError(f"{image}: {reason or 'it crashed the process that inspected it'}")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def write_pictures(folder: Path, image: Path, pictures: dict[str, str]) -> list[Path]:
    """Write the pictures to the folder, named after the image; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{image.stem}-{name}.png" for name in pictures]
    for path, picture in zip(paths, pictures.values(), strict=True):
        path.write_bytes(b64decode(picture))
    return paths


def print_inspection(image: Path, data: bytes, v4: dict[str, Any], inspection: Inspection) -> None:
    """Print an inspection for people."""
    console = OpenEndedConsole(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    size = f"{inspection.width}x{inspection.height}"
    facts = [inspection.format, inspection.mode, size, format_count(inspection.size_bytes, "byte")]
    console.print(Text(escape(f"{image}: {', '.join(facts)}"), style="bold"))
    console.print(Text(f"SHA-256 {hashlib.sha256(data).hexdigest()}"))
    said = ["stego" if v4["is_stego"] else "clean", f"{v4['stego_probability']:.4f}", v4["method"], v4["bit_order"]]
    console.print(Text(escape(f"V4 ({v4['model']}, from {v4['threshold']:.4f} on): {', '.join(filter(None, said))}")))
    if inspection.damage:
        console.print(Text(escape(f"damaged: {inspection.damage}"), style="yellow"))
    console.print(draw_table(inspection.findings))
    if inspection.truncated:
        console.print("there is more than is listed")


def draw_table(findings: list[Finding]) -> Table:
    """Return the findings as a table, one line each; the last column gets the remaining width."""
    rows = [(finding, list_cells(finding)) for finding in findings]
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for number, title in enumerate(TITLES):
        widest = max(len(title), *(len(cells[number]) for _, cells in rows)) if rows else len(title)
        table.add_column(
            title, no_wrap=True, min_width=min(widest, MOST_WIDTH), justify="right" if title == "SIZE" else "left"
        )
    table.add_column("WHAT IT SAYS", no_wrap=True, ratio=1, overflow="ellipsis")
    for finding, cells in rows:
        table.add_row(*map(Text, cells), style="" if finding.is_readable else "dim")
    return table


def list_cells(finding: Finding) -> list[str]:
    """Return the cells of a finding."""
    payload = finding.payload
    said = payload.to_message() or ""
    if payload.header:
        said = f"[{payload.header}] {said}"
    size = "" if payload.size is None else f"{payload.size:,}"
    return [escape(cell) for cell in (finding.place, finding.name, payload.kind, size, said[:SHOWN])]

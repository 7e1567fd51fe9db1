"""Block folders as Stargate's backend writes them: `HEIGHT_…/` with `images/`, `block.json`, `inscriptions.json`."""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlight_vocabulary.formats import ImageFormat

# Limit for `block.json` and for `inscriptions.json`.
MAX_JSON_BYTES: Final = 64 * 2**20
# Longer inscribed texts are cut.
MAX_TEXT_BYTES: Final = 2**20
RESULTS_NAME: Final = "starlight.json"
"""Name of the results file, in the block's folder."""


class NoBlockError(LookupError):
    """The block does not exist; the message is for the caller."""


@dataclass(frozen=True, slots=True)
class BlockFolder:
    """One block: its hash, its time in Unix seconds (0: unknown), and the entries of `inscriptions.json` by file name.

    `images` maps the path of each image file to its resolved path; links that lead out of the folder are left out.
    """

    path: Path
    hash: str
    timestamp: int
    listed: dict[str, dict[str, Any]]
    images: dict[Path, Path]

    def list_others(self) -> list[dict[str, Any]]:
        """Return the listed inscriptions without an image file: texts, and images that were not stored."""
        names = {path.name for path in self.images}
        return [known for name, known in self.listed.items() if name not in names]

    def read_text(self, known: dict[str, Any]) -> str:
        """Return the text of a listed inscription, from the list or else from its file; "" if it is not a text."""
        if known.get("content"):
            return str(known["content"])
        path = self.path / "images" / Path(str(known.get("file_name") or "-")).name
        is_text = str(known.get("content_type") or "").startswith(("text/", "application/json", "image/svg"))
        if not is_text or not _is_inside(path, self.path) or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")

    def write_results(self, results: str) -> None:
        """Write the results file of the block atomically; raises OSError."""
        descriptor, name = tempfile.mkstemp(prefix=f".{RESULTS_NAME}.", dir=self.path)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(results)
            # `mkstemp` makes a private file, but the others in the folder are readable by all.
            Path(name).chmod(0o644)
            Path(name).replace(self.path / RESULTS_NAME)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def open_block(root: Path | None, height: int) -> BlockFolder:
    """Return the folder of a block; raises NoBlockError if there is none under the root."""
    if root is None:
        raise NoBlockError("no blocks are stored here: STARLIGHT_BLOCKS_ROOT is not set")
    found = sorted(path for path in root.glob(f"{height}_*") if path.is_dir() and _is_inside(path, root))
    if not found:
        raise NoBlockError(f"there is no block {height} in STARLIGHT_BLOCKS_ROOT")
    folder = found[0]
    block, summary = _read_json(folder, "block.json"), _read_json(folder, "inscriptions.json")
    header = block.get("block_header")
    header = header if isinstance(header, dict) else {}
    hashes = (block.get("block_hash"), block.get("BlockHash"), header.get("Hash"), block.get("hash"))
    times = (block.get("timestamp"), header.get("Timestamp"), summary.get("timestamp"))
    listed = summary.get("inscriptions")
    return BlockFolder(
        folder,
        next((str(each) for each in hashes if each), folder.name.partition("_")[2]),
        next(filter(None, map(read_integer, times)), 0),
        {str(each.get("file_name")): each for each in listed if isinstance(each, dict)}
        if isinstance(listed, list)
        else {},
        _list_images(folder),
    )


def read_integer(value: object) -> int:
    """Return a JSON number as an integer, or 0 if it is not a number that fits into 64 bits."""
    return int(value) if isinstance(value, int | float) and abs(value) < 2**63 else 0


def _list_images(folder: Path) -> dict[Path, Path]:
    inside = folder.resolve()
    found = {
        path: path.resolve() for path in sorted((folder / "images").glob("*")) if ImageFormat.of_suffix(path.suffix)
    }
    return {path: real for path, real in found.items() if real.is_relative_to(inside) and real.is_file()}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in the file, or an empty one if it has none that can be read."""
    path = folder / name
    try:
        if not _is_inside(path, folder) or path.stat().st_size > MAX_JSON_BYTES:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

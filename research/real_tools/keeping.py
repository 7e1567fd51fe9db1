"""Runs a tool's ways, and keeps the images that it wrote, so that another model can be measured without running it."""

from collections.abc import Mapping
from pathlib import Path

from research.real_tools.catalogue import Tool, Way
from research.real_tools.covers import COVER_KINDS
from research.real_tools.running import run_way


class Keeper:
    """Hides messages with a tool. With a folder, each image is kept there with its message, and used again.

    An image is used again only if its message is the same; its cover is the same if the seed and the corpus are.
    """

    def __init__(self, tool: Tool, environment: Mapping[str, str], folder: Path | None) -> None:
        self._tool = f"{tool.registry} {tool.name}"
        self._environment = environment
        self._folder = folder
        self._count = 0
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def hide(self, way: Way, cover_kind: str, cover: bytes, message: str) -> bytes:
        """Return the file in which the tool hid the message. Raises `FailedError`."""
        if self._folder is None:
            return run_way(way, cover_kind, cover, message, self._environment)
        name = f"{self._tool}, {way.name}, {cover_kind}, {self._count}"
        kept, text = self._folder / (name + COVER_KINDS[cover_kind].suffix), self._folder / (name + ".txt")
        if not kept.exists() or not text.exists() or text.read_text(encoding="utf-8") != message:
            kept.write_bytes(run_way(way, cover_kind, cover, message, self._environment))
            text.write_text(message, encoding="utf-8")
        self._count += 1
        return kept.read_bytes()

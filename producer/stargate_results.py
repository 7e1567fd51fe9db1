"""Results for Stargate, one per image, in responses and callbacks. Strings are never null."""

import re
import uuid
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field

from producer.blocks import NoBlockError, open_block, read_integer
from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import METHODS, Outcome

# The path of an image of a block, as `/scan/block` submits it.
_OF_BLOCK: Final = re.compile(r"/(\d{1,10})_[^/]*/images/([^/]+)$")


class ScanResult(BaseModel):
    """What V4 says of one image."""

    is_stego: bool
    stego_probability: float = Field(examples=[0.9991])
    confidence: float = Field(examples=[0.9991])
    prediction: Literal["stego", "clean"]
    stego_type: str = Field(examples=["lsb.rgb"])
    method_id: int | None = Field(description="Position of the method among `stego_methods`.", examples=[2])
    extracted_message: str
    extraction_error: str

    @classmethod
    def of(cls, verdict: Verdict, *, with_message: bool = True, message: str | None = None) -> Self:
        """Convert a verdict; `message` replaces its own. An error becomes a clean result with the reason."""
        if reason := describe_error(verdict):
            return cls(
                is_stego=False, stego_probability=0.0, confidence=0.0, prediction="clean", stego_type="",
                method_id=None, extracted_message="", extraction_error=reason,
            )  # fmt: skip
        method = verdict.stego_type
        message = (message or verdict.extracted_message) if with_message else None
        failed = with_message and verdict.is_stego and message is None
        return cls(
            is_stego=verdict.is_stego,
            stego_probability=verdict.stego_probability,
            confidence=verdict.confidence,
            prediction=verdict.prediction,
            stego_type=method or "",
            method_id=METHODS.index(method) if method else None,
            extracted_message=message or "",
            extraction_error="no message could be read where this method hides it" if failed else "",
        )


def describe_error(verdict: Verdict) -> str:
    """Return why an image could not be scanned, or "" if it was."""
    return f"{verdict.error_code}: {verdict.error_detail}" if verdict.outcome is Outcome.ERROR else ""


class Callbacks:
    """Makes the bodies for Stargate's `/api/stego/callback` from the verdicts of one job."""

    def __init__(self, blocks_root: Path | None, job_id: uuid.UUID) -> None:
        self._root = blocks_root
        self._job_id = str(job_id)
        # Only the latest block is cached: its images come in succession, and a list may be large.
        self._height = 0
        self._listed: dict[str, dict[str, Any]] = {}

    def write(self, verdict: Verdict) -> dict[str, Any] | None:
        """Return the body for an image, or None if it belongs to no block: Stargate refuses those."""
        address = urlsplit(verdict.uri)
        found = _OF_BLOCK.search(unquote(address.path))
        if address.scheme != "file" or found is None or not int(found[1]):
            return None
        height, name = int(found[1]), found[2]
        known = self._list_inscriptions(height).get(name, {})
        image_format = ImageFormat.of_suffix(Path(name).suffix)
        return {
            "request_id": self._job_id,
            "block_height": height,
            "tx_id": str(known.get("tx_id") or f"unknown_{name}"),
            "file_name": name,
            "content_type": str(known.get("content_type") or (image_format.media_type if image_format else "")),
            "size_bytes": verdict.size_bytes or read_integer(known.get("size_bytes")),
            "scan_result": ScanResult.of(verdict).model_dump(),
            "metadata": {
                "scanner": "starlight",
                "scanned_at": int(verdict.scanned_at.timestamp()),
                "source": "scan_block",
                "ordinal": verdict.ordinal,
            },
        }

    def _list_inscriptions(self, height: int) -> dict[str, dict[str, Any]]:
        if height != self._height:
            self._height = height
            try:
                self._listed = open_block(self._root, height).listed
            except (NoBlockError, OSError):
                self._listed = {}
        return self._listed

"""`/scan/block`: the images of one block, from the folders that Stargate's backend keeps."""

import json
import os
from pathlib import Path
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from producer.api.access import SubmittingImages
from producer.api.feeds import Feeds
from producer.api.problems import ProblemError, document_problems
from producer.api.service import Shared
from producer.api.stargate.requests import finish_answer
from producer.api.stargate.scanning import ScanOptions
from producer.api.stargate.shapes import Block, Inscription, ScanResult, explain_failure
from producer.api.stargate.waiting import scan_now
from producer.api.submission import open_upload
from producer.sources.expansion import refer_to_file
from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.verdict import Verdict

router = APIRouter()

# Of `block.json` and `inscriptions.json`, in bytes.
MAX_JSON_BYTES = 64 * 2**20


class BlockRequest(BaseModel):
    """Which block, and how to scan it."""

    block_height: int = Field(ge=0, le=2**31, examples=[840000])
    scan_options: ScanOptions = ScanOptions()


@router.post("/scan/block", responses=document_problems(504))
async def scan_block(
    request: Request, wanted: BlockRequest, key: SubmittingImages, service: Shared, feeds: Feeds
) -> Block:
    """Scan the images of a block while the caller waits."""
    started = perf_counter()
    folder = await run_in_threadpool(find_block_folder, service.settings.blocks_root, wanted.block_height)
    images = await run_in_threadpool(list_images, folder)
    verdicts: list[Verdict] = []
    if images:
        references = [refer_to_file(os.fsencode(real)) for real in images.values()]
        async with open_upload(service, key) as upload:
            _, verdicts = await scan_now(service, feeds, upload, references, wanted.scan_options.threshold)
    block, known = (
        await run_in_threadpool(_read_json, folder, "block.json"),
        await run_in_threadpool(_read_inscriptions, folder),
    )
    inscriptions = [
        _report_inscription(known.get(path.name, {}), path, verdict, wanted.scan_options)
        for path, verdict in zip(images, verdicts, strict=True)
    ]
    header = block.get("block_header")
    in_header = header.get("Hash") if isinstance(header, dict) else None
    hashes = (block.get("block_hash"), block.get("BlockHash"), in_header, block.get("hash"))
    return Block(
        block_height=wanted.block_height,
        block_hash=next((str(each) for each in hashes if each), folder.name.partition("_")[2]),
        timestamp=_read_integer(block.get("timestamp")),
        total_inscriptions=len(inscriptions),
        images_scanned=sum(each.scan_result is not None for each in inscriptions),
        stego_detected=sum(each.scan_result is not None and each.scan_result.is_stego for each in inscriptions),
        inscriptions=inscriptions,
        **finish_answer(request, started),
    )


def find_block_folder(root: Path | None, height: int) -> Path:
    """Return the folder of a block; raises a problem (404) where there is none under the root."""
    if root is None:
        raise ProblemError(404, "blocks are not kept here: STARLIGHT_BLOCKS_ROOT names no folder")
    found = sorted(path for path in root.glob(f"{height}_*") if path.is_dir() and _is_inside(path, root))
    if not found:
        raise ProblemError(404, f"there is no block {height} under the folder of blocks")
    return found[0]


def list_images(folder: Path) -> dict[Path, Path]:
    """Return the image files of a block by name, and where each really is; links out of its folder are left out."""
    inside = folder.resolve()
    found = {
        path: path.resolve() for path in sorted((folder / "images").glob("*")) if ImageFormat.of_suffix(path.suffix)
    }
    return {path: real for path, real in found.items() if real.is_relative_to(inside) and real.is_file()}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return an object, or an empty one where the file does not hold any."""
    path = folder / name
    try:
        if not _is_inside(path, folder) or path.stat().st_size > MAX_JSON_BYTES:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_inscriptions(folder: Path) -> dict[str, dict[str, Any]]:
    listed = _read_json(folder, "inscriptions.json").get("inscriptions")
    found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return {str(each.get("file_name")): each for each in found}


def _report_inscription(known: dict[str, Any], path: Path, verdict: Verdict, options: ScanOptions) -> Inscription:
    error = explain_failure(verdict)
    image_format = ImageFormat.of_suffix(path.suffix)
    assert image_format is not None, "other files are left out"
    return Inscription(
        tx_id=str(known.get("tx_id") or ""),
        input_index=_read_integer(known.get("input_index")),
        content_type=str(known.get("content_type") or image_format.media_type),
        content=str(known.get("content") or ""),
        size_bytes=verdict.size_bytes or _read_integer(known.get("size_bytes")),
        file_name=path.name,
        file_path=f"images/{path.name}",
        scan_result=None if error else ScanResult.of(verdict, with_message=options.extract_message),
        error=error,
    )


def _read_integer(value: object) -> int:
    return int(value) if isinstance(value, int | float) and abs(value) < 2**63 else 0

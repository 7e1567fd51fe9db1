"""`/scan/block`: scanning the images of a block, from the block folders of Stargate's backend."""

import logging
import os
from pathlib import Path
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from producer.api.access import SubmittingImages
from producer.api.problems import ProblemError, document_problems
from producer.api.service import Shared
from producer.api.stargate.messages import is_cut, read_whole_text
from producer.api.stargate.requests import finish_answer
from producer.api.stargate.scanning import ScanOptions
from producer.api.stargate.shapes import Block, Inscription
from producer.api.stargate.waiting import SharedScanner
from producer.api.submission import open_upload
from producer.blocks import BlockFolder, NoBlockError, open_block, read_integer
from producer.sources.expansion import refer_to_file
from producer.stargate_results import ScanResult, describe_error
from starlight_vocabulary.formats import ImageFormat
from starlight_vocabulary.verdict import Verdict

router = APIRouter()
log = logging.getLogger(__name__)


class BlockRequest(BaseModel):
    """The block, and how to scan it."""

    block_height: int = Field(ge=0, le=2**31, examples=[840000])
    scan_options: ScanOptions = ScanOptions()


@router.post("/scan/block", responses=document_problems(504))
async def scan_block(
    request: Request, wanted: BlockRequest, key: SubmittingImages, service: Shared, scanner: SharedScanner
) -> Block:
    """Scan the images of a block while the caller waits."""
    started = perf_counter()
    options = wanted.scan_options
    try:
        folder = await run_in_threadpool(open_block, service.settings.blocks_root, wanted.block_height)
    except NoBlockError as error:
        raise ProblemError(404, str(error)) from error
    verdicts: list[Verdict] = []
    if folder.images:
        references = [refer_to_file(os.fsencode(real)) for real in folder.images.values()]
        async with open_upload(service, key) as upload:
            callback = service.settings.stargate_callback_url if service.settings.webhook_secret else None
            _, verdicts = await scanner.scan(upload, references, options.threshold, callback)
    messages = {
        path: await read_whole_text(service, scanner.reading, verdict, real)
        for (path, real), verdict in zip(folder.images.items(), verdicts, strict=True)
        if is_cut(verdict)
    }
    inscriptions = [
        _report_image(folder.listed.get(path.name, {}), path, verdict, options, messages.get(path))
        for path, verdict in zip(folder.images, verdicts, strict=True)
    ]
    inscriptions += await run_in_threadpool(_report_others, folder)
    block = Block(
        block_height=wanted.block_height,
        block_hash=folder.hash,
        timestamp=folder.timestamp,
        total_inscriptions=len(inscriptions),
        images_scanned=sum(each.scan_result is not None for each in inscriptions),
        stego_detected=sum(each.scan_result is not None and each.scan_result.is_stego for each in inscriptions),
        inscriptions=inscriptions,
        **finish_answer(request, started),
    )
    if service.settings.blocks_write_results:
        await run_in_threadpool(_write_results, folder, block)
    return block


def _write_results(folder: BlockFolder, block: Block) -> None:
    try:
        folder.write_results(block.model_dump_json(indent=2))
    except OSError as error:
        # Not fatal: the client gets the results in the response.
        log.warning("results of block %d cannot be written to its folder: %s", block.block_height, error)


def _report_image(
    known: dict[str, Any], path: Path, verdict: Verdict, options: ScanOptions, message: str | None
) -> Inscription:
    error = describe_error(verdict)
    image_format = ImageFormat.of_suffix(path.suffix)
    assert image_format is not None, "`BlockFolder.images` has only image files"
    result = ScanResult.of(verdict, with_message=options.extract_message, message=message)
    return Inscription(
        tx_id=str(known.get("tx_id") or f"unknown_{path.name}"),
        input_index=read_integer(known.get("input_index")),
        content_type=str(known.get("content_type") or image_format.media_type),
        content=str(known.get("content") or ""),
        size_bytes=verdict.size_bytes or read_integer(known.get("size_bytes")),
        file_name=path.name,
        file_path=f"images/{path.name}",
        scan_result=None if error else result,
        error=error,
    )


def _report_others(folder: BlockFolder) -> list[Inscription]:
    return [
        Inscription(
            tx_id=str(known.get("tx_id") or ""),
            input_index=read_integer(known.get("input_index")),
            content_type=str(known.get("content_type") or ""),
            content=folder.read_text(known),
            size_bytes=read_integer(known.get("size_bytes")),
            file_name=str(known.get("file_name") or ""),
            file_path=str(known.get("file_path") or ""),
            scan_result=None,
            error="",
        )
        for known in folder.list_others()
    ]

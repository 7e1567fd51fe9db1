"""`/scan/transaction` and `/transaction/{txid}`: transactions of the chain, if a node is configured."""

import base64
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from producer.api.access import Reading, SubmittingImages
from producer.api.chain import use_chain
from producer.api.problems import ProblemError, document_problems
from producer.api.reading import ImageReading
from producer.api.service import Service, Shared
from producer.api.stargate.messages import is_cut, read_whole_text
from producer.api.stargate.requests import finish_answer
from producer.api.stargate.scanning import ScanOptions
from producer.api.stargate.waiting import SharedScanner
from producer.api.submission import open_upload
from producer.chain.errors import NotOnChainError
from producer.chain.inscriptions import Inscribed
from producer.chain.nodes import Node, TransactionPlace, open_node
from producer.chain.reader import ChainReader
from producer.chain.sources import store_inscribed
from producer.stargate_results import ScanResult, describe_error
from starlight_vocabulary.verdict import Verdict
from storage.image_signatures import HEAD_BYTES, find_format
from storage.uploads import Upload

router = APIRouter()

ID: Final = "^[0-9a-fA-F]{64}$"
IS_ID: Final = re.compile(ID, re.ASCII)
# Per request; larger transactions must be submitted as jobs.
MAX_IMAGES: Final = 1000
# Limit of the images in one response, before Base64.
MAX_ANSWER_BYTES: Final = 16 * 2**20


class TransactionRequest(BaseModel):
    """The transaction, and how to scan its images."""

    transaction_id: str = Field(pattern=ID)
    extract_images: bool = True
    scan_options: ScanOptions = ScanOptions()


class ScanSummary(BaseModel):
    """Counts of the images of a transaction."""

    images_found: int
    images_scanned: int
    stego_detected: int = Field(description="Images with a hidden message.")
    processing_time_ms: float


class TransactionImage(BaseModel):
    """One image of a transaction."""

    index: int = Field(description="Number of the inscription in the transaction, from 0.")
    size_bytes: int
    format: str = Field(examples=["png"])


class ScannedImage(TransactionImage):
    """One image of a transaction, with its result."""

    scan_result: ScanResult


class TransactionScan(BaseModel):
    """The response for a transaction; an unconfirmed one has height 0 and an empty timestamp."""

    transaction_id: str
    block_height: int
    timestamp: str = Field(examples=["2024-04-20T00:09:27+00:00"])
    scan_results: ScanSummary
    images: list[ScannedImage]
    request_id: str


class ShownImage(TransactionImage):
    """One image of a transaction, optionally with its bytes."""

    data: str = Field("", description="The bytes in Base64, with `image_format=base64`.")


class TransactionReport(BaseModel):
    """A transaction and its inscribed images."""

    transaction_id: str
    block_height: int
    timestamp: str
    status: Literal["confirmed", "unconfirmed"]
    total_images: int
    images: list[ShownImage] = Field(description="Only with `include_images=true`.")


@router.post("/scan/transaction", responses=document_problems(404, 413, 501, 503, 504))
async def scan_transaction(
    request: Request, wanted: TransactionRequest, key: SubmittingImages, service: Shared, scanner: SharedScanner
) -> TransactionScan:
    """Scan the images inscribed in a transaction while the caller waits."""
    started = perf_counter()
    identity = wanted.transaction_id.lower()
    options = wanted.scan_options
    verdicts: list[Verdict] = []
    async with open_upload(service, key) as upload:
        place, references = await run_in_threadpool(
            store_images, service, key.name, identity, upload, wanted.extract_images
        )
        if references:
            _, verdicts = await scanner.scan(upload, references, options.threshold)
    images = [
        ScannedImage(
            index=_read_number(verdict.uri),
            size_bytes=verdict.size_bytes or 0,
            format=(verdict.format or "unknown").lower(),
            scan_result=ScanResult.of(
                verdict,
                with_message=options.extract_message,
                message=await read_stored_message(service, scanner.reading, verdict)
                if options.extract_message
                else None,
            ),
        )
        for verdict in verdicts
    ]
    answer = finish_answer(request, started)
    return TransactionScan(
        transaction_id=identity,
        block_height=place.height,
        timestamp=_format_time(place),
        scan_results=ScanSummary(
            images_found=len(references),
            images_scanned=sum(not describe_error(verdict) for verdict in verdicts),
            stego_detected=sum(verdict.is_stego is True for verdict in verdicts),
            processing_time_ms=answer["processing_time_ms"],
        ),
        images=images,
        request_id=answer["request_id"],
    )


@router.get("/transaction/{txid}", responses=document_problems(404, 413, 501, 503))
def get_transaction(
    key: Reading,
    service: Shared,
    txid: Annotated[str, Path(pattern=ID)],
    include_images: bool = False,
    image_format: Annotated[str, Query(description="`base64` includes the bytes.")] = "info",
) -> TransactionReport:
    """Return the block of a transaction, and the images inscribed in it."""
    identity = txid.lower()
    with _open_node(service, key.name) as node:
        place = node.place_transaction(identity)
        with closing(ChainReader(node, service.settings).read_transaction(identity)) as inscribed:
            found = _list_images(inscribed, with_data=include_images and image_format == "base64")
    return TransactionReport(
        transaction_id=identity,
        block_height=place.height,
        timestamp=_format_time(place),
        status="confirmed" if place.block else "unconfirmed",
        total_images=len(found),
        images=found if include_images else [],
    )


@contextmanager
def _open_node(service: Service, key: str) -> Iterator[Node]:
    """Yield the node, to one request per key at a time; errors become problems."""
    try:
        with use_chain(service, key), open_node(service.settings) as node:
            yield node
    except NotOnChainError as error:
        raise ProblemError(404, "the Bitcoin node does not know this transaction") from error


def store_images(
    service: Service, key: str, identity: str, upload: Upload, with_images: bool
) -> tuple[TransactionPlace, list[str]]:
    """Store the images of a transaction; return its place and their references."""
    with _open_node(service, key) as node:
        place = node.place_transaction(identity)
        if not with_images:
            return place, []
        with closing(ChainReader(node, service.settings).read_transaction(identity)) as inscribed:
            references = list(islice(store_inscribed(inscribed, upload, None), MAX_IMAGES + 1))
    if len(references) > MAX_IMAGES:
        raise ProblemError(413, f"it has more than {MAX_IMAGES:,} images: use `starlight submit bitcoin:tx/…`")
    return place, references


def _list_images(inscribed: Iterator[Inscribed], *, with_data: bool) -> list[ShownImage]:
    found: list[ShownImage] = []
    left = MAX_ANSWER_BYTES
    for each in inscribed:
        if each.kind != "image":
            continue
        data = each.data or b""
        left -= len(data) if with_data else 0
        if left < 0 or len(found) == MAX_IMAGES:
            raise ProblemError(
                413, f"it has more than {MAX_IMAGES:,} images, or {MAX_ANSWER_BYTES:,} bytes, the limits of a response"
            )
        found.append(
            ShownImage(
                index=each.number,
                size_bytes=len(data),
                format=(find_format(data[:HEAD_BYTES]) or "unknown").lower(),
                data=base64.b64encode(data).decode() if with_data else "",
            )
        )
    return found


async def read_stored_message(service: Service, reading: ImageReading, verdict: Verdict) -> str | None:
    """Return the complete text of a verdict whose image is stored."""
    if not is_cut(verdict) or verdict.sha256 is None:
        return verdict.extracted_message
    data = await run_in_threadpool(service.blobs.get, verdict.sha256, service.settings.max_image_bytes)
    return await read_whole_text(service, reading, verdict, data)


def _read_number(reference: str) -> int:
    """Return the number of the inscription that a reference names."""
    return int(reference.rpartition(":i")[2])


def _format_time(place: TransactionPlace) -> str:
    return datetime.fromtimestamp(place.time, UTC).isoformat() if place.block else ""

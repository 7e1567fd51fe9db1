"""The responses that Stargate's client parses. Strings are never null; missing ones are empty."""

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, Field

from producer.stargate_results import ScanResult
from starlight_vocabulary.verdict import Verdict

Encoding: TypeAlias = Literal["utf-8", "base64", "none"]


class ImageInfo(BaseModel):
    """The scanned image."""

    filename: str
    size_bytes: int
    format: str = Field(examples=["PNG"])
    dimensions: str = Field(description="Width and height in pixels; empty if not an image.", examples=["256x256"])

    @classmethod
    def of(cls, verdict: Verdict, filename: str) -> Self:
        """Return what a verdict says about the image."""
        return cls(
            filename=filename,
            size_bytes=verdict.size_bytes or 0,
            format=verdict.format or "unknown",
            dimensions=f"{verdict.width}x{verdict.height}" if verdict.width else "",
        )


class Answer(BaseModel):
    """The members that every response ends with."""

    processing_time_ms: float = Field(examples=[31.4])
    request_id: str


class ImageScan(Answer):
    """The response for one image."""

    scan_result: ScanResult
    image_info: ImageInfo


class ExtractionDetails(BaseModel):
    """How the message was read."""

    bits_extracted: int
    encoding: Encoding = Field(description="Encoding of `message`: Base64 if it is not text.")
    corruption_detected: bool = Field(description="Whether the hidden bytes are not text.")
    truncated: bool = Field(description="Whether `message` is incomplete.")
    error: str = Field(description="Why the image could not be scanned; else empty.")


class ExtractionResult(BaseModel):
    """The hidden message, as far as it can be read."""

    message_found: bool
    message: str
    method_used: str
    method_confidence: float = Field(description="The stego probability, if V4 finds this method; else 0.")
    extraction_details: ExtractionDetails


class Extraction(Answer):
    """The response to an extraction."""

    extraction_result: ExtractionResult
    image_info: ImageInfo


class Inscribed(Answer):
    """The response to an inscription; `id` is that of the request."""

    id: str
    method: str = Field(examples=["alpha"])
    message_length: int = Field(description="In bytes of UTF-8.")
    output_file: str = Field(description="A name for the image.", examples=["image.png"])
    image_bytes: int
    image_sha256: str
    image_base64: str
    status: str = Field(examples=["pending_upload"])
    note: str


class BatchResult(BaseModel):
    """One item of a batch: the results of its images, or the error."""

    index: int
    item_id: str = Field(description="`image_` and its index, or the transaction id.")
    type: str
    status: Literal["completed", "failed"]
    stego_detected: bool
    images_with_stego: int
    total_images: int
    scan_result: ScanResult | None = Field(description="For images only; for transactions see /scan/transaction.")
    error: str


class Batch(Answer):
    """The response to a batch; `batch_id` is the job's id."""

    batch_id: str
    total_items: int
    processed_items: int
    stego_detected: int
    results: list[BatchResult]


class Inscription(BaseModel):
    """One inscription of a block."""

    tx_id: str
    input_index: int
    content_type: str
    content: str
    size_bytes: int
    file_name: str
    file_path: str
    scan_result: ScanResult | None
    error: str = Field(description="Why there is no scan result; else empty.")


class Block(Answer):
    """The response for a block."""

    block_height: int
    block_hash: str
    timestamp: int
    total_inscriptions: int
    images_scanned: int
    stego_detected: int
    inscriptions: list[Inscription]

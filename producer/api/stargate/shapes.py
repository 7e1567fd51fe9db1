"""The answers that Stargate's client parses. Its texts are never null: where there is none, they are empty."""

from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, Field

from producer.stargate_results import ScanResult
from starlight_vocabulary.verdict import Verdict

Encoding: TypeAlias = Literal["utf-8", "base64", "none"]


class ImageInfo(BaseModel):
    """The image that was scanned."""

    filename: str
    size_bytes: int
    format: str = Field(examples=["PNG"])
    dimensions: str = Field(description="Width and height in pixels; empty of what is no image.", examples=["256x256"])

    @classmethod
    def of(cls, verdict: Verdict, filename: str) -> Self:
        """Return what a verdict knows."""
        return cls(
            filename=filename,
            size_bytes=verdict.size_bytes or 0,
            format=verdict.format or "unknown",
            dimensions=f"{verdict.width}x{verdict.height}" if verdict.width else "",
        )


class Answer(BaseModel):
    """What every answer to a scan ends with."""

    processing_time_ms: float = Field(examples=[31.4])
    request_id: str


class ImageScan(Answer):
    """The answer to one image."""

    scan_result: ScanResult
    image_info: ImageInfo


class ExtractionDetails(BaseModel):
    """How the message was read."""

    bits_extracted: int
    encoding: Encoding = Field(description="How `message` has it: what is no text, in Base64.")
    corruption_detected: bool = Field(description="Whether bytes were found that are no text.")
    truncated: bool = Field(description="Whether more is hidden than `message` has.")
    error: str = Field(description="Why nothing could be looked into; empty where it could.")


class ExtractionResult(BaseModel):
    """What was hidden, as far as it can be read."""

    message_found: bool
    message: str
    method_used: str
    method_confidence: float = Field(description="The stego probability, if V4 names this method; else 0.")
    extraction_details: ExtractionDetails


class Extraction(Answer):
    """The answer to an extraction."""

    extraction_result: ExtractionResult
    image_info: ImageInfo


class Inscribed(Answer):
    """The answer to an inscription; its id is the request's."""

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
    """One item of a batch: what came of its images, or why nothing did."""

    index: int
    item_id: str = Field(description="`image_` and its index, or the transaction.")
    type: str
    status: Literal["completed", "failed"]
    stego_detected: bool
    images_with_stego: int
    total_images: int
    scan_result: ScanResult | None = Field(description="Of an image; of a transaction see /scan/transaction.")
    error: str


class Batch(Answer):
    """The answer to a batch; its id is the job's."""

    batch_id: str
    total_items: int
    processed_items: int
    stego_detected: int
    results: list[BatchResult]


class Inscription(BaseModel):
    """One image of a block."""

    tx_id: str
    input_index: int
    content_type: str
    content: str
    size_bytes: int
    file_name: str
    file_path: str
    scan_result: ScanResult | None
    error: str = Field(description="Why there is no scan; empty where there is one.")


class Block(Answer):
    """The answer to a block."""

    block_height: int
    block_hash: str
    timestamp: int
    total_inscriptions: int
    images_scanned: int
    stego_detected: int
    inscriptions: list[Inscription]

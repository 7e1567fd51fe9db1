"""The verdict that a worker stores: what it found out about one image."""

from dataclasses import dataclass

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """A verdict to be stored; its fields are the columns that a worker fills.

    `sha256` is that of the file's bytes; sizes are in pixels and bytes. `reused` marks an earlier verdict of the same
    model on the same bytes, for which V4 was not run again. `payload` is None if nothing was read.
    """

    ordinal: int
    uri: str
    outcome: Outcome
    sha256: bytes | None = None
    stego_probability: float | None = None
    method: Method | None = None
    bit_order: BitOrder | None = None
    extracted_message: str | None = None
    error_code: ErrorCode | None = None
    error_detail: str | None = None
    model_id: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    size_bytes: int | None = None
    reused: bool = False
    payload: Payload | None = None

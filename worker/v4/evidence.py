"""The raw bytes that people are shown with an image: the start of a method's carrier, and of the trailing bytes."""

from dataclasses import dataclass

from PIL import Image

from worker.v4.bit_planes import find_carrier_channels, list_bit_planes
from worker.v4.containers import survey
from worker.v4.extraction import CARRIER_BYTES, ReadCarrier, read_carrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Raw evidence in a file; bytes are in hex."""

    planes: list[str]
    """Names of the bit planes that can be drawn."""
    marked: list[str]
    """Names of those that hold the payload."""
    carrier: str
    """The first bytes of the method's carrier; empty without a method."""
    carrier_bytes: int
    """The size of the whole carrier."""
    payload_bytes: int | None
    """The size of the payload in the carrier, with any header; None if its end is unknown."""
    trailing: str
    """The first bytes after the image's end."""
    trailing_bytes: int
    """How many trailing bytes there are in all."""


def collect_evidence(image: Image.Image, data: bytes, method: str | None, bit_order: str | None) -> Evidence:
    """Return the evidence in an image; `data` is the whole file, and never makes this raise."""
    end = survey(data).end
    read = ReadCarrier(b"", 0, None)
    if method is not None:
        read = read_carrier(image, data, method, bit_order, CARRIER_BYTES)
    carriers = find_carrier_channels(image, method) if read.payload_bytes else ()
    planes = list(list_bit_planes(image))
    return Evidence(
        planes=[name for name, _, _ in planes],
        marked=[name for name, channel, bit in planes if bit == 0 and channel in carriers],
        carrier=read.head.hex(),
        carrier_bytes=read.total,
        payload_bytes=read.payload_bytes,
        trailing=data[end : end + CARRIER_BYTES].hex(),
        trailing_bytes=max(0, len(data) - end),
    )

"""The bytes that a person looks at beside an image: where a method would have hidden some, and behind the end."""

from dataclasses import dataclass

from PIL import Image

from worker.v4.bit_planes import find_carrier_channels, list_bit_planes
from worker.v4.containers import survey
from worker.v4.extraction import CARRIER_BYTES, ReadCarrier, read_carrier


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What of a file is shown as it is; bytes in hex."""

    planes: list[str]
    """Names of the bit planes that can be drawn."""
    marked: list[str]
    """Those of them in which the payload lies."""
    carrier: str
    """The first bytes of the method's carrier; empty without a method."""
    carrier_bytes: int
    """How many there are in all."""
    payload_bytes: int | None
    """How many of them are the payload, with what stands before it; None where nothing says where it ends."""
    trailing: str
    """The first bytes behind the image's end."""
    trailing_bytes: int
    """How many there are in all."""


def collect_evidence(image: Image.Image, data: bytes, method: str | None, bit_order: str | None) -> Evidence:
    """Return the evidence of an image, of which `data` are the file's bytes; never raises on account of these."""
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

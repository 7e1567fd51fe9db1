"""Inspects an image file in every known way, for people. Nothing here affects verdicts."""

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from PIL import Image

from starlight_vocabulary.inspection import Finding, Inspection, Place
from worker.v4.containers import survey
from worker.v4.extraction import BytesCarrier
from worker.v4.metadata import list_metadata
from worker.v4.nine_samples import find_nine_samples
from worker.v4.payload_description import Carrier
from worker.v4.payloads import read_payload_of
from worker.v4.sample_orders import list_sample_orders

MAX_FINDINGS: Final = 400
"""The most places that are listed."""
TEXT_BYTES: Final = 4096
"""The most bytes of a text that are shown."""

# A text with this many characters, and this many different ones, is neither chance nor a pattern; more characters are
# required if nothing closes it.
_SURE_TEXT: Final = 16
_SURE_OPEN_TEXT: Final = 24
_SURE_ALPHABET: Final = 6
# The first characters of a text, and the least size to which they are compressed.
_JUDGED: Final = 256
_SURE_INFORMATION: Final = 0.2


def inspect_image(image: Image.Image, data: bytes, damage: str | None = None) -> Inspection:
    """Return everything that is in a file; `image` is its first frame in native mode, loaded.

    The file never makes this raise.
    """
    findings: list[Finding] = []
    truncated = False
    for place, name, carrier in _list_places(image, data):
        if len(findings) == MAX_FINDINGS:
            truncated = True
            break
        findings.append(Finding(place, name, read_payload_of(carrier, TEXT_BYTES).payload))
    return Inspection(
        format=image.format or "",
        mode=image.mode,
        width=image.width,
        height=image.height,
        size_bytes=len(data),
        damage=damage,
        findings=sorted(findings, key=_rank, reverse=True),
        truncated=truncated,
    )


def _list_places(image: Image.Image, data: bytes) -> Iterator[tuple[Place, str, Carrier]]:
    end = survey(data).end
    if end < len(data):
        yield Place.TRAILING, "after the image's end", BytesCarrier(memoryview(data)[end:])
    for order in list_sample_orders(image):
        yield Place.PIXELS, order.name, order
    if nine := find_nine_samples(image):
        yield Place.PIXELS, nine.name, nine
    for name, value in list_metadata(data):
        yield Place.METADATA, name, BytesCarrier(value)


def _is_varied(text: str) -> bool:
    """Whether a text is no pattern of a picture: of many characters, none the most, and not easily compressed."""
    data = text.encode("utf-8", "surrogatepass")
    (_, most), *others = Counter(text).most_common()
    is_mixed = len(others) + 1 >= _SURE_ALPHABET and 2 * most <= len(text)
    return is_mixed and len(zlib.compress(data)) >= _SURE_INFORMATION * len(data)


def _rank(finding: Finding) -> tuple[bool, bool, int]:
    text = finding.payload.text
    if text is None:
        return finding.is_readable, finding.is_readable, 0
    # Only among samples may a short text be chance.
    least = _SURE_TEXT if finding.payload.closed_by else _SURE_OPEN_TEXT
    is_sure = finding.place is not Place.PIXELS or (len(text) >= least and _is_varied(text[:_JUDGED]))
    return is_sure and not text.isspace(), True, len(text)

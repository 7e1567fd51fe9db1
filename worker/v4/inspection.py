"""Looking into an image file in every way that is known here, for a person. Nothing is judged."""

from collections.abc import Iterator
from typing import Final

from PIL import Image

from starlight_vocabulary.inspection import Finding, Inspection, Place
from worker.v4.containers import survey
from worker.v4.extraction import BytesCarrier
from worker.v4.metadata import list_metadata
from worker.v4.payload_description import Carrier
from worker.v4.payloads import read_payload_of
from worker.v4.sample_orders import list_sample_orders

MAX_FINDINGS: Final = 400
"""Places that are listed, at most."""
TEXT_BYTES: Final = 4096
"""Of a text, what is shown at most."""

# A text of so many characters, so many of them different, is there neither by chance nor as a pattern; more are needed
# where nothing closes it.
_SURE_TEXT: Final = 16
_SURE_OPEN_TEXT: Final = 24
_SURE_ALPHABET: Final = 6


def inspect_image(image: Image.Image, data: bytes, damage: str | None = None) -> Inspection:
    """Return everything that is in a file, of which `image` is the first frame in its own mode, loaded.

    Never raises on account of the file.
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
        yield Place.TRAILING, "behind the image's end", BytesCarrier(memoryview(data)[end:])
    for order in list_sample_orders(image):
        yield Place.PIXELS, order.name, order
    for name, value in list_metadata(data):
        yield Place.METADATA, name, BytesCarrier(value)


def _rank(finding: Finding) -> tuple[bool, bool, int]:
    text = finding.payload.text
    if text is None:
        return finding.is_readable, finding.is_readable, 0
    # Metadata and what follows the end are no samples, in which chance writes a word now and then.
    least = _SURE_TEXT if finding.payload.closed_by else _SURE_OPEN_TEXT
    is_sure = finding.place is not Place.PIXELS or (len(text) >= least and len(set(text)) >= _SURE_ALPHABET)
    return is_sure and not text.isspace(), True, len(text)

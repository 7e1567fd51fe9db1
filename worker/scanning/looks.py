"""Serialises inspections, evidence and bit planes of one image, and checks them, as decoders are not trusted."""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from PIL import Image

from starlight_vocabulary.inspection import Inspection
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import ErrorCode
from worker.scanning.image_error import ImageError
from worker.v4.bit_planes import draw_bit_planes
from worker.v4.evidence import Evidence
from worker.v4.inspection import inspect_image as inspect

if TYPE_CHECKING:
    from pydantic import TypeAdapter

LOOK_BYTES: Final = 8 * 2**20
"""The maximum size of a text about an image."""

_NAME: Final = re.compile(r"[a-z0-9-]{1,40}")
_HEX: Final = re.compile(r"([0-9a-f]{2})*")

Shown = TypeVar("Shown")
Look: TypeAlias = Callable[[Image.Image, bytes, str | None], bytes]
"""Makes a text about an image from its first frame, the bytes of its file, and what is wrong with the file."""


def inspect_image(image: Image.Image, data: bytes, damage: str | None) -> bytes:
    """Return the inspection of an image, as JSON of at most `LOOK_BYTES`."""
    found = inspect(image, data, damage)
    # A character may take six bytes in JSON, so findings are dropped until the whole text fits.
    while len(text := json.dumps(to_json(found)).encode()) > LOOK_BYTES:
        found = replace(found, findings=found.findings[: len(found.findings) // 2], truncated=True)
    return text


def draw_image(image: Image.Image, _data: bytes, _damage: str | None) -> bytes:
    """Return the bit planes of an image, as JSON of names and PNGs in Base64; as many as fit into `LOOK_BYTES`."""
    planes: dict[str, str] = {}
    size = 0
    for name, picture in draw_bit_planes(image):
        spelled = b64encode(picture).decode("ascii")
        size += len(name) + len(spelled) + 16
        if size > LOOK_BYTES:
            break
        planes[name] = spelled
    return json.dumps(planes).encode()


def write_evidence(evidence: Evidence) -> bytes:
    """Return the evidence of an image, as JSON."""
    return json.dumps(asdict(evidence)).encode()


def read_inspection(text: bytes) -> Inspection:
    """Return the inspection; raises ImageError if the text is not one."""
    return _read(_adapters()[0], text, "inspection")


def read_evidence(text: bytes) -> Evidence:
    """Return the evidence; raises ImageError if the text is not one."""
    evidence = _read(_adapters()[1], text, "evidence")
    if all(map(_NAME.fullmatch, [*evidence.planes, *evidence.marked])) and _HEX.fullmatch(
        evidence.carrier + evidence.trailing
    ):
        return evidence
    raise ImageError(ErrorCode.SCAN_FAILED, "its decoder returned invalid evidence")


def read_planes(text: bytes) -> dict[str, bytes]:
    """Return PNGs by names, which are safe as file names; raises ImageError if the text is invalid."""
    try:
        return {name: b64decode(picture) for name, picture in json.loads(text).items() if _NAME.fullmatch(name)}
    except (ValueError, AttributeError, TypeError) as error:
        raise ImageError(ErrorCode.SCAN_FAILED, "its decoder returned invalid pictures") from error


def _read(adapter: "TypeAdapter[Shown]", text: bytes, kind: str) -> Shown:
    try:
        return adapter.validate_json(text)
    except ValueError as error:
        raise ImageError(ErrorCode.SCAN_FAILED, f"its decoder returned an invalid {kind}") from error


@cache
def _adapters() -> "tuple[TypeAdapter[Inspection], TypeAdapter[Evidence]]":
    # Imported here, since the decoding processes do not need it.
    from pydantic import TypeAdapter

    return TypeAdapter(Inspection), TypeAdapter(Evidence)

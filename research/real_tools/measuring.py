"""Measures what V4 finds in the images that tools wrote, and how much of the message is shown."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from research.evaluation.rates import make_rate
from research.evaluation.trials import is_whole
from research.real_tools.catalogue import NOTHING, TEXT, Tool, Way
from research.real_tools.covers import COVER_KINDS, LENGTHS, draw_message
from research.real_tools.running import FailedError
from research.stego.corpus import open_image
from starlight_vocabulary.inspection import Finding
from worker.v4.detector import Detector, Score
from worker.v4.extraction import read_payload
from worker.v4.inspection import inspect_image
from worker.v4.planes import extract_planes

Row = dict[str, Any]
Hide = Callable[[Way, str, bytes, str], bytes]
"""Runs a way with a kind of cover, the cover and a message, and returns the file that was written."""


@dataclass(slots=True)
class _Count:
    """What was seen of the images of one configuration."""

    probabilities: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    found: int = 0
    right: int = 0
    shown: int = 0
    inspected: int = 0
    first: int = 0


def measure_tool(
    detector: Detector, tool: Tool, pictures: Sequence[Image.Image], hide: Hide, rng: np.random.Generator
) -> list[Row]:
    """Return a row for each configuration, a way with a kind of cover: its shares of the images that were written."""
    return [
        _measure(detector, way, cover_kind, pictures, hide, rng) for way in tool.ways for cover_kind in way.covers
    ]  # fmt: skip


def measure_covers(detector: Detector, pictures: Sequence[Image.Image]) -> dict[str, Row]:
    """Return for each kind of covers the share that V4 takes for stego."""
    return {
        name: make_rate(
            sum(_score(detector, open_image(data), data).is_stego for data in map(kind.encode, pictures)), len(pictures)
        )
        for name, kind in COVER_KINDS.items()
    }


def add_up(rows: Iterable[Row]) -> dict[str, Row]:
    """Return totals over configurations in V4's scope by what they show, and over those outside."""
    groups: dict[str, list[Row]] = {"text": [], "files": [], "ciphertext": [], "outside": []}
    for row in rows:
        shows = {TEXT: "text", NOTHING: "ciphertext"}.get(row["shows"], "files")
        groups["outside" if row["outside"] else shows].append(row)
    return {name: _add(group) for name, group in groups.items()}


def _add(rows: Sequence[Row]) -> Row:
    made = sum(row["made"] for row in rows)
    readable = [row for row in rows if row["shows"] != NOTHING]
    text = [row for row in readable if row["shows"] == TEXT]
    return {
        "configurations": len(rows),
        "found": make_rate(sum(row["found"] for row in rows), made),
        "right_method": make_rate(sum(row["right"] for row in rows), sum(row["found"] for row in rows)),
        "shown": make_rate(sum(row["shown"] for row in readable), sum(row["made"] for row in readable)),
        "inspected": make_rate(sum(row["inspected"] for row in text), sum(row["made"] for row in text)),
    }


def _measure(
    detector: Detector, way: Way, cover_kind: str, pictures: Sequence[Image.Image], hide: Hide,
    rng: np.random.Generator,
) -> Row:  # fmt: skip
    count = _Count()
    lengths = tuple(LENGTHS)
    for number, picture in enumerate(pictures):
        # Half of the pictures are drawn, and each kind of message meets as many of these as of others.
        length = lengths[number // 2 % len(lengths)]
        message = draw_message(rng, length, ascii_only=way.ascii_only, longest=way.longest)
        try:
            data = hide(way, cover_kind, COVER_KINDS[cover_kind].encode(picture), message)
            image = open_image(data)
        except (FailedError, OSError, ValueError) as error:
            count.failures[str(error)[:200]] += 1
            continue
        _look_at(count, detector, way, image, data, message.encode())
    made = len(count.probabilities)
    return {
        "way": way.name,
        "cover": cover_kind,
        "method": way.method,
        "outside": way.outside,
        "shows": way.shows,
        "made": made,
        "failed": dict(count.failures.most_common(3)),
        "found": count.found,
        "right": count.right,
        "shown": count.shown,
        "inspected": count.inspected,
        "inspected_first": count.first,
        "lowest": round(min(count.probabilities), 4) if made else None,
        "median": round(statistics.median(count.probabilities), 4) if made else None,
    }


def _look_at(count: _Count, detector: Detector, way: Way, image: Image.Image, data: bytes, message: bytes) -> None:
    score = _score(detector, image, data)
    count.probabilities.append(score.stego_probability)
    findings = inspect_image(image, data).findings
    if way.shows == TEXT:
        says = [_says(finding, message) for finding in findings]
        count.inspected += any(says)
        count.first += bool(says) and says[0]
    if not score.is_stego or score.method is None:
        return
    count.found += 1
    count.right += score.method == way.method
    read = read_payload(image, data, score.method, score.bit_order)
    if way.shows == TEXT:
        count.shown += is_whole(read.body, message)
    elif way.shows != NOTHING:
        count.shown += read.payload.kind == way.shows


def _score(detector: Detector, image: Image.Image, data: bytes) -> Score:
    return detector.score([extract_planes(image, data)])[0]


def _says(finding: Finding, message: bytes) -> bool:
    text = finding.payload.text
    return text is not None and (message.decode() in text or is_whole(text.encode("utf-8", "surrogatepass"), message))

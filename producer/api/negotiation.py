"""Content negotiation for verdicts: JSON comes in pages, other media types are streamed."""

import io
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import BinaryIO, cast

from fastapi.responses import StreamingResponse

from producer.api.problems import ProblemError
from producer.verdict_writers import CsvWriter, NdjsonWriter, ParquetWriter, VerdictWriter
from starlight_vocabulary.escaping import disarm
from starlight_vocabulary.formats import JSON, ExportFormat
from starlight_vocabulary.verdict import Verdict
from storage.verdicts import PAGE


class Sink(io.RawIOBase):
    """A writable file that collects data until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the number of bytes written so far; Parquet stores such offsets."""
        return self._position

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Add the data."""
        self._parts.append(bytes(data))
        self._position += len(data)
        return len(data)

    def take(self) -> bytes:
        """Return and remove what was written since the last call."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _open_text(sink: Sink) -> io.TextIOWrapper:
    return io.TextIOWrapper(cast(BinaryIO, sink), encoding="utf-8", newline="", write_through=True)


def _open_disarmed(sink: Sink) -> VerdictWriter:
    return CsvWriter(_open_text(sink), disarm)


WRITERS: dict[ExportFormat, Callable[[Sink], VerdictWriter]] = {
    ExportFormat.NDJSON: lambda sink: NdjsonWriter(_open_text(sink)),
    ExportFormat.CSV: lambda sink: CsvWriter(_open_text(sink)),
    ExportFormat.PARQUET: lambda sink: ParquetWriter(cast(BinaryIO, sink)),
}
STREAMED = {chosen.media_type: chosen for chosen in ExportFormat}
OFFERED = (JSON, *STREAMED)


def negotiate(accept: str) -> str:
    """Return the best media type for an Accept header, JSON if several are equal; raises a problem (406)."""
    weights = {kind: _find_weight(kind, accept) for kind in OFFERED}
    best = max(OFFERED, key=lambda kind: weights[kind])
    if not weights[best]:
        raise ProblemError(406, f"verdicts are available as {', '.join(OFFERED)}, not as {accept}")
    return best


def _find_weight(kind: str, accept: str) -> float:
    """Return the `q` of the most specific range that includes the media type, 0 if there is none."""
    weights: dict[str, float] = {}
    for listed in accept.lower().split(","):
        name, *parameters = (part.strip() for part in listed.split(";"))
        quality = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        try:
            weights[name] = float(quality)
        except ValueError:
            continue
    ranges = (kind, f"{kind.partition('/')[0]}/*", "*/*")
    return next((weights[accepted] for accepted in ranges if accepted in weights), 0.0)


def stream_verdicts(found: Iterator[Verdict], kind: str, *, spreadsheet: bool = False) -> StreamingResponse:
    """Return a response that streams verdicts at the client's pace; with `spreadsheet`, CSV has no formulas."""
    chosen = STREAMED[kind]
    open_writer = _open_disarmed if spreadsheet and chosen is ExportFormat.CSV else WRITERS[chosen]
    pieces = _write_pieces(found, open_writer)
    # Read before the response starts, so that early errors get a proper status; later ones can only cut the response.
    first = next(pieces)
    disposition = f'attachment; filename="verdicts{chosen.suffixes[0]}"'
    return StreamingResponse(chain((first,), pieces), media_type=kind, headers={"Content-Disposition": disposition})


def _write_pieces(found: Iterator[Verdict], open_writer: Callable[[Sink], VerdictWriter]) -> Iterator[bytes]:
    sink = Sink()
    writer = open_writer(sink)
    while page := list(islice(found, PAGE)):
        writer.write(page)
        if piece := sink.take():
            yield piece
    writer.close()
    yield sink.take()

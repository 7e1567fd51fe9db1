"""Verdicts in the media type that a request accepts: JSON in pages, other types streamed."""

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
    """Holds what was written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how many bytes were written in all: Parquet notes where its columns begin."""
        return self._position

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Take all of the data."""
        self._parts.append(bytes(data))
        self._position += len(data)
        return len(data)

    def take(self) -> bytes:
        """Return what was written since the last time."""
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
    """Return the media type for an Accept header, JSON where it prefers none; raises ProblemError 406."""
    weights = {kind: _find_weight(kind, accept) for kind in OFFERED}
    best = max(OFFERED, key=lambda kind: weights[kind])
    if not weights[best]:
        raise ProblemError(406, f"verdicts come as {', '.join(OFFERED)}, not as {accept}")
    return best


def _find_weight(kind: str, accept: str) -> float:
    """Return the `q` of the most specific range that the media type is in, 0 where it is in none."""
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
    """Return a response that reads verdicts as fast as its reader takes them; CSV may be for a `spreadsheet`."""
    chosen = STREAMED[kind]
    open_writer = _open_disarmed if spreadsheet and chosen is ExportFormat.CSV else WRITERS[chosen]
    pieces = _write_pieces(found, open_writer)
    # What fails at once can still be told; later, the response just breaks off.
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

"""`--server URL --key KEY`: commands that use the API of another machine instead of the servers themselves."""

import io
import logging
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes, urlsplit

import typer

from producer.chain.sources import SCHEME
from producer.cli.errors import UsageError
from producer.cli.installation import parse_id
from producer.sources.archives import is_archive
from producer.sources.expansion import URI_CHARACTERS, Sources
from starlight_vocabulary.answers import VerdictReport, Verification
from starlight_vocabulary.escaping import escape_lines
from starlight_vocabulary.job import Job, JobOptions, JobSources
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.verdict import Verdict
from storage.blobs import Blobs
from storage.buckets import is_in_bucket, is_prefix
from storage.settings import Settings, read_settings
from storage.verdict_search import VerdictFilter

if TYPE_CHECKING:
    from producer.cli.submitting import Chosen
    from starlight_client import ImageSearch, RescanSearch, Starlight, VerdictSearch

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", envvar="STARLIGHT_SERVER", help="Use the API at this address instead."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", envvar="STARLIGHT_KEY", help="The API's key; better in the environment."),
]


class Remote:
    """The API, for commands."""

    def __init__(self, client: "Starlight") -> None:
        self._client = client

    @property
    def client(self) -> "Starlight":
        """The client itself."""
        return self._client

    def job(self, job_id: str) -> Job:
        """Return the job."""
        return self._client.job(job_id)

    def jobs(self, limit: int) -> list[Job]:
        """Return the newest jobs, newest first."""
        return list(self._client.jobs(limit=limit))

    def wait(self, job_id: str, show: Callable[[Job], object]) -> Job:
        """Wait for the end of the job and return it; `show` is called when it changes."""
        return self._client.wait(job_id, progress=show)

    def cancel(self, job_id: str) -> int:
        """Cancel the job; return how many images will not be scanned."""
        return self._client.cancel(job_id).cancelled

    def verdicts(self, wanted: VerdictFilter, limit: int | None) -> Iterator[Verdict]:
        """Return the verdicts that match a filter, at most `limit`."""
        search: VerdictSearch = {**describe_search(wanted), "model": wanted.model}
        if wanted.job_id is not None:
            return self._client.verdicts(wanted.job_id, limit=limit, **search)
        return self._client.find(limit=limit, **search)

    def rescan(self, model: str, wanted: VerdictFilter, *, again: bool, name: str | None) -> Iterator[Rescan]:
        """Scan images of a model again; yield the rescan of each job."""
        search: RescanSearch = {
            **describe_search(wanted), "job_id": wanted.job_id, "submitter": wanted.submitter, "name": name,
        }  # fmt: skip
        return self._client.rescan(model, again=again, **search)

    def verdict(self, job_id: str, ordinal: int) -> VerdictReport:
        """Return one verdict with its provenance."""
        return self._client.verdict(job_id, ordinal)

    def verify(self, job_id: str) -> Verification:
        """Compare a job's verdicts with its seal."""
        return self._client.verify(job_id)

    def submit(self, paths: list[str], options: JobOptions, chosen: "Chosen") -> Job:
        """Submit URIs or local files; archives are unpacked here, buckets are listed by the server."""
        if chosen.in_place:
            raise UsageError("--in-place cannot be used with --server: local archives are unpacked and uploaded")
        listed = _find_listed_sources(paths, chosen)
        return self._expand(paths, options, chosen) if listed is None else self._client.submit_sources(listed, options)

    def _expand(self, paths: list[str], options: JobOptions, chosen: "Chosen") -> Job:
        """Expand sources here: local files are uploaded as one archive, URIs are submitted as references."""
        configured = read_settings()
        with tempfile.TemporaryDirectory(prefix="starlight-submit-") as folder:
            blobs = Blobs(Path(folder).as_uri())
            # The API lists buckets itself, with the rights of the key.
            sources = Sources(blobs, configured, chosen.selection, lists_prefixes=False)
            stdin = sys.stdin.buffer
            found = chain(
                sources.from_arguments(paths, stdin, separator=b"\0" if chosen.null else b"\n"),
                *(sources.from_manifest(each, chosen.column, stdin) for each in chosen.manifests),
            )
            references = (each if isinstance(each, str) else each.uri for each in found)
            first = next(references, None)
            if first is None:
                raise UsageError("there is no image to scan")
            rest = _require_one_kind(first, references)
            if not _is_local(first):
                return self._client.submit(rest, options)
            with tempfile.TemporaryFile() as archive:
                _pack(rest, blobs, configured, archive)
                return self._client.upload_archive(archive, options)


class RetryNotes(logging.Handler):
    """Tells people on standard error why a command waits."""

    def __init__(self, server: str) -> None:
        super().__init__(logging.WARNING)
        self._server = server

    def emit(self, record: logging.LogRecord) -> None:
        """Write the message as one line."""
        typer.echo(f"starlight: {self._server}: {escape_lines(record.getMessage())}", err=True)


@contextmanager
def open_remote(server: str, key: str | None, *, notes: bool = True) -> Iterator[Remote]:
    """Yield the API at this address; refusals and connection errors become a UsageError.

    With `notes`, each retry is told on standard error.
    """
    # Imported here, so that commands without an API start faster.
    import httpx

    from starlight_client import RefusedError, Starlight, UnreadableAnswerError

    if not key:
        raise UsageError(
            "--server needs --key, or STARLIGHT_KEY in the environment: make one with `starlight keys create` there"
        )
    logger = logging.getLogger("starlight_client")
    handler = RetryNotes(server) if notes else logging.NullHandler()
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with Starlight(server, key) as client:
            yield Remote(client)
    except RefusedError as error:
        raise UsageError(f"{server} refuses: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, UnreadableAnswerError) as error:
        raise UsageError(f"the request to {server} failed: {error}") from error
    finally:
        logger.propagate = True
        logger.removeHandler(handler)


def describe_search(wanted: VerdictFilter) -> "ImageSearch":
    """Return a filter as arguments of the client."""
    return {
        "outcome": wanted.outcome,
        "method": wanted.method,
        "since": wanted.since,
        "until": wanted.until,
        "sha256": wanted.sha256,
        "words": wanted.words,
        "part": wanted.part,
        "inscription": wanted.inscription,
    }


def _find_listed_sources(paths: list[str], chosen: "Chosen") -> JobSources | None:
    """Return the sources if the server lists them, None if they are expanded here; raises UsageError for both kinds."""
    uris = [quote_from_bytes(os.fsencode(path), safe=URI_CHARACTERS) for path in paths]
    listed = [uri for uri in uris if is_in_bucket(uri) and (is_prefix(uri) or is_archive(uri.encode()))]
    manifests = [each for each in chosen.manifests if is_in_bucket(each)]
    if not (listed or manifests or chosen.since):
        return None
    if len(listed) < len(paths) or len(manifests) < len(chosen.manifests):
        raise UsageError("sources in buckets, which the server lists, and other sources need separate jobs")
    return JobSources(
        uris=listed,
        manifests=manifests,
        column=chosen.column,
        include=list(chosen.selection.include),
        exclude=list(chosen.selection.exclude),
        since=parse_id(chosen.since) if chosen.since else None,
    )


def _is_local(reference: str) -> bool:
    return reference.startswith(("file://", "blob://", SCHEME))


def _require_one_kind(first: str, references: Iterator[str]) -> Iterator[str]:
    yield first
    for reference in references:
        if _is_local(reference) != _is_local(first):
            raise UsageError("local files and URIs need separate jobs: name only one kind")
        yield reference


def _pack(references: Iterator[str], blobs: Blobs, configured: Settings, stream: IO[bytes]) -> None:
    """Write the files of local references to a `.tar` archive and rewind it; raises OSError."""
    with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
        for reference in references:
            parts = urlsplit(reference)
            if parts.scheme == "blob":
                data = blobs.get(parts.netloc, configured.max_image_bytes + 1)
                entry = tarfile.TarInfo(unquote(parts.path.lstrip("/"), errors="surrogateescape"))
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
            elif parts.scheme == "bitcoin":
                raise UsageError(f"{reference} exceeds the limit when unpacked: raise STARLIGHT_MAX_INSCRIBED_BYTES")
            elif parts.fragment:
                raise UsageError(f"{unquote(parts.fragment)!r} cannot be read from its archive: unpack it yourself")
            else:
                archive.add(unquote_to_bytes(parts.path).decode(errors="surrogateescape"), recursive=False)
    stream.seek(0)

"""The sources of a job, split into parts that are listed one after the other."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote

from producer.sources.expansion import Sources
from producer.sources.known_versions import KnownVersions
from producer.sources.listing import list_prefix, read_prefix
from producer.sources.selection import Selection
from producer.watching.source import handle_large_archive
from starlight_vocabulary.job import JobSources
from storage.buckets import is_in_bucket, is_prefix
from storage.listings import ListingProgress
from storage.submission import ListedObject, Reference


@dataclass(frozen=True, slots=True)
class SourcePart:
    """An object below a prefix, an archive, a manifest, or a chain source.

    `name` is the source it belongs to; `start` and `end` are the progress of the listing before and after it.
    """

    name: str
    start: ListingProgress
    end: ListingProgress
    references: Iterator[Reference]


def list_parts(
    wanted: JobSources, sources: Sources, known: KnownVersions | None, start: ListingProgress
) -> Iterator[SourcePart]:
    """Yield the parts of all sources from `start` on; this and their references raise what `Sources` raises."""
    for number, name in list(enumerate([*wanted.uris, *wanted.manifests]))[start.source :]:
        place = ListingProgress(number, start.after if number == start.source else None)
        if number >= len(wanted.uris):
            references: Iterator[Reference] = sources.from_manifest(name, wanted.column, io.BytesIO())
            yield SourcePart(name, place, ListingProgress(number + 1), references)
        elif is_in_bucket(name) and is_prefix(name):
            for found in list_prefix(read_prefix(name), select(wanted), known, place.after):
                end = replace(place, after=read_path(found))
                yield SourcePart(name, place, end, handle_large_archive(found.uri, sources.from_object(found)))
                place = end
        else:
            yield SourcePart(name, place, ListingProgress(number + 1), sources.from_arguments([name], io.BytesIO()))


def select(wanted: JobSources) -> Selection:
    """Return the selection of names that the job was submitted with."""
    return Selection(tuple(wanted.include), tuple(wanted.exclude))


def read_path(found: ListedObject) -> str:
    """Return the path of an object in its bucket, not percent-encoded."""
    return unquote(found.uri.split("/", 3)[3])

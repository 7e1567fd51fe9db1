"""Opening the source that a person names to be watched."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from producer.chain.sources import SCHEME, is_chain_source
from producer.sources.errors import SourceError
from producer.sources.expansion import Sources
from producer.sources.selection import EVERYTHING, Selection
from producer.sources.storing import BlobWriter
from producer.watching.blocks import BlocksSource
from producer.watching.buckets import BucketSource
from producer.watching.folders import FolderSource
from producer.watching.source import Source
from storage.buckets import is_in_bucket
from storage.settings import Settings
from storage.submission import ListedObject, Reference


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a source is watched.

    It is looked through every `every_s` seconds, and files must not have changed for `settle_s` seconds. Only names in
    the `selection` are submitted. With `in_place`, archive members that are stored uncompressed are not copied.
    """

    every_s: float
    settle_s: float
    selection: Selection = EVERYTHING
    in_place: bool = False


def open_source(argument: str, settings: Settings, options: WatchOptions) -> Source:
    """Return the source that an argument names; raises SourceError if it cannot be watched."""
    if is_chain_source(argument):
        if argument != SCHEME:
            raise SourceError(f"{argument!r} does not change: watch {SCHEME!r} for new blocks, or submit it")
        return BlocksSource(settings, every_s=options.every_s)

    def open_sources(blobs: BlobWriter) -> Sources:
        return Sources(blobs, settings, options.selection, in_place=options.in_place)

    if is_in_bucket(argument):

        def refer_to_object(blobs: BlobWriter, found: ListedObject) -> Iterable[Reference]:
            return open_sources(blobs).from_object(found)

        return BucketSource(argument, refer_to_object, options.selection, every_s=options.every_s)

    if "://" in argument and not Path(argument).is_dir():
        raise SourceError(f"{argument!r} cannot be watched: name a folder, s3://…, gs://…, az://… or {SCHEME!r}")

    def refer_to_path(blobs: BlobWriter, path: bytes, name: bytes) -> Iterable[Reference]:
        return open_sources(blobs).from_file(path, name)

    return FolderSource(
        Path(argument), refer_to_path, options.selection, every_s=options.every_s, settle_s=options.settle_s
    )

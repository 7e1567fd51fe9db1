"""From what a person names to the source that is watched."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from producer.chain.sources import SCHEME, is_chain_source
from producer.sources.expansion import SourceError, Sources
from producer.sources.storing import BlobWriter
from producer.watching.blocks import BlocksSource
from producer.watching.folders import FolderSource
from producer.watching.source import Source
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a source is watched: seconds between two looks at everything, and for which a file must not have changed."""

    every_s: float
    settle_s: float


def open_source(argument: str, settings: Settings, options: WatchOptions) -> Source:
    """Return the source that an argument names; raises SourceError where there is none."""
    if is_chain_source(argument):
        if argument != SCHEME:
            raise SourceError(f"{argument!r} does not change: watch {SCHEME!r} for new blocks, or submit it")
        return BlocksSource(settings, every_s=options.every_s)

    def refer(blobs: BlobWriter, path: bytes) -> Iterable[str]:
        return Sources(blobs, settings).from_file(path)

    return FolderSource(Path(argument), refer, every_s=options.every_s, settle_s=options.settle_s)

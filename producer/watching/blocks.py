"""Watching the chain: the images of each new block become a job, also after a reorganisation, and none twice."""

import json
import logging
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from typing import Final

from producer.chain.errors import ChainError, NotOnChainError, UnreadableBlockError
from producer.chain.nodes import Node, open_node
from producer.chain.reader import ChainReader, FoundBlock
from producer.chain.sources import SCHEME, store_inscribed
from producer.sources.errors import SourceAwayError
from producer.sources.storing import BlobWriter
from producer.watching.source import Arrivals, Progress
from storage.settings import Settings

# Longest reorganisation that can be followed back to its fork, in blocks.
DEPTH: Final = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReadBlocks:
    """The height up to which blocks were read, and the ids of the last of them, newest first."""

    height: int
    ids: tuple[str, ...]

    @classmethod
    def parse(cls, cursor: str) -> "ReadBlocks":
        """Parse a cursor."""
        found = json.loads(cursor)
        return cls(found["height"], tuple(found["ids"]))

    def format(self) -> str:
        """Return the cursor."""
        return json.dumps({"height": self.height, "ids": self.ids})

    def follow(self, block: str) -> "ReadBlocks":
        """Return a copy with the next block added."""
        return ReadBlocks(self.height + 1, (block, *self.ids)[:DEPTH])


class BlocksSource:
    """The blocks of a node, which is polled every `every_s` seconds. A new watch starts with the next block."""

    def __init__(self, settings: Settings, *, every_s: float) -> None:
        self._settings = settings
        self._every_s = every_s

    @property
    def uri(self) -> str:
        """Return the name of the chain."""
        return SCHEME

    @property
    def saw_everything(self) -> None:
        """Return None: each block is read only once."""
        return None

    def find(self, progress: Progress) -> Iterator[Arrivals]:
        """Yield the arrivals of each new block; raises SourceAwayError if the node fails to answer."""
        try:
            with open_node(self._settings) as node:
                yield from self._find(node, progress)
        except ChainError as error:
            raise SourceAwayError(str(error)) from error

    def wait(self) -> None:
        """Wait until the next poll."""
        time.sleep(self._every_s)

    def _find(self, node: Node, progress: Progress) -> Iterator[Arrivals]:
        reader = ChainReader(node, self._settings)
        newest = node.count_blocks()
        if progress.cursor is None:
            start = ReadBlocks(newest, (reader.find_block(newest),))
            log.info("blocks are watched from %d on", newest + 1)
            yield Arrivals(_refer_to_nothing, start.format())
            return
        read = find_fork(node, ReadBlocks.parse(progress.cursor))
        while read.height < newest:
            block = reader.fetch_block(reader.find_block(read.height + 1), read.height + 1)
            if read.ids and block.previous != read.ids[0]:
                # The chain was reorganised just now: the next poll finds the fork.
                return
            read = read.follow(block.id)
            yield self._describe(reader, block, read, progress)

    def _describe(self, reader: ChainReader, block: FoundBlock, read: ReadBlocks, progress: Progress) -> Arrivals:
        try:
            names = [f"{SCHEME}{each.name}" for each in reader.read_block(block) if each.kind == "image"]
        except UnreadableBlockError as error:
            # It is skipped, so that it does not block those after it. The message is complete without a traceback.
            log.error("block %d is skipped: %s; then submit bitcoin:block/%s", read.height, error, block.id)  # noqa: TRY400
            return Arrivals(_refer_to_nothing, read.format())
        # After a reorganisation, most transactions of the replaced blocks, already submitted, are in the new ones.
        new = progress.find_new(dict.fromkeys(names, "1"))
        refer = partial(_refer_to_new, reader, block, new.keys()) if new else _refer_to_nothing
        return Arrivals(refer, read.format(), new, are_gone=True)


def find_fork(node: Node, read: ReadBlocks) -> ReadBlocks:
    """Return the part of the blocks read that is still in the chain; raises ChainError."""
    for depth, block in enumerate(read.ids):
        try:
            if node.find_block(read.height - depth) == block:
                if depth:
                    log.warning("%d blocks above %d were replaced", depth, read.height - depth)
                return ReadBlocks(read.height - depth, read.ids[depth:])
        except NotOnChainError:
            continue
    if read.ids:
        log.warning("at least %d blocks up to %d were replaced", len(read.ids), read.height)
    return ReadBlocks(read.height - len(read.ids), ())


def _refer_to_nothing(blobs: BlobWriter) -> Iterable[str]:
    return ()


def _refer_to_new(reader: ChainReader, block: FoundBlock, new: Set[str], blobs: BlobWriter) -> Iterator[str]:
    found = (each for each in reader.read_block(block) if each.kind != "image" or f"{SCHEME}{each.name}" in new)
    return store_inscribed(found, blobs, f"block {block.height} {block.id}")

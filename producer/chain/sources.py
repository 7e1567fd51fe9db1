"""`bitcoin:block/840000`, `bitcoin:blocks/840000-840100` and `bitcoin:tx/TXID` as sources of images."""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from producer.chain.errors import ChainError
from producer.chain.inscriptions import Inscribed
from producer.chain.nodes import open_node
from producer.chain.reader import ChainReader
from producer.sources.storing import BlobWriter, store_members
from storage.settings import Settings

SCHEME: Final = "bitcoin:"

_HEIGHTS: Final = re.compile(r"block/(\d{1,9})|blocks/(\d{1,9})-(\d{1,9})", re.ASCII)
_ID: Final = re.compile(r"(block|tx)/([0-9a-fA-F]{64})")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChainSource:
    """Blocks by their heights, or one block or transaction by its id."""

    heights: range = range(0)
    block: str = ""
    transaction: str = ""


def is_chain_source(text: str) -> bool:
    """Whether this names a source in the chain."""
    return text.startswith(SCHEME)


def read_chain_source(text: str) -> ChainSource:
    """Parse a chain source; raises ChainError."""
    rest = text.removeprefix(SCHEME)
    if found := _ID.fullmatch(rest):
        identity = found[2].lower()
        return ChainSource(block=identity) if found[1] == "block" else ChainSource(transaction=identity)
    found = _HEIGHTS.fullmatch(rest)
    if found is None:
        raise ChainError(
            f"{text!r} is not a chain source: write bitcoin:block/HEIGHT, bitcoin:block/HASH, "
            "bitcoin:blocks/FIRST-LAST or bitcoin:tx/TXID"
        )
    first, last = (found[1], found[1]) if found[1] else (found[2], found[3])
    if int(last) < int(first):
        raise ChainError(f"{text!r} ends before it begins")
    return ChainSource(heights=range(int(first), int(last) + 1))


def expand_chain_source(text: str, blobs: BlobWriter, settings: Settings) -> Iterator[str]:
    """Yield the references of the images of a chain source, in the chain's order; raises ChainError."""
    source = read_chain_source(text)
    with open_node(settings) as node:
        reader = ChainReader(node, settings)
        if source.transaction:
            found = reader.read_transaction(source.transaction)
            yield from store_inscribed(found, blobs, f"transaction {source.transaction}")
        elif source.block:
            found = reader.read_block(reader.fetch_block(source.block))
            yield from store_inscribed(found, blobs, f"block {source.block}")
        else:
            yield from _expand_blocks(source.heights, reader, blobs)


def _expand_blocks(heights: range, reader: ChainReader, blobs: BlobWriter) -> Iterator[str]:
    # If the last block does not exist, this fails before any block is read.
    reader.find_block(heights[-1])
    before = ""
    for height in heights:
        block = reader.fetch_block(reader.find_block(height), height)
        if before and block.previous != before:
            raise ChainError(
                f"the chain was reorganised meanwhile: block {height} does not follow {before}; submit it again"
            )
        before = block.id
        yield from store_inscribed(reader.read_block(block), blobs, f"block {height}")


def store_inscribed(found: Iterator[Inscribed], blobs: BlobWriter, label: str | None) -> Iterator[str]:
    """Store the images among inscriptions in `blobs` and yield their references.

    With a label, log the counts of images, delegates and other inscriptions.
    """
    counted: Counter[str] = Counter()

    def count_images() -> Iterator[Inscribed]:
        for each in found:
            counted[each.kind] += 1
            if each.kind == "image":
                yield each

    for each, digest in store_members(blobs, count_images()):
        yield refer_to_inscription(each.name, digest)
    if label is None:
        return
    log.info(
        "%s: %d inscriptions: %d images, %d delegates, %d others",
        label, counted.total(), counted["image"], counted["delegate"], counted["other"],
    )  # fmt: skip


def refer_to_inscription(name: str, digest: str | None) -> str:
    """Return the reference of an image named `TXID:iN`; without a digest, that of an image that is not stored."""
    return f"{SCHEME}{name}" if digest is None else f"blob://{digest}/{SCHEME}{name}"

"""Reads the payloads of images that V4 calls stego."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlight_vocabulary.payload import Payload
from starlight_vocabulary.words import BitOrder, Method
from worker.scanning.chunk_loading import ChunkLoader
from worker.scanning.chunk_scan import ChunkScan, ImageFacts
from worker.scanning.content import Content
from worker.scanning.decoding_client import HiddenPayload
from worker.scanning.decoding_memory import GROUP
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.image_error import ImageError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """An image that V4 calls stego, and its bytes if they were kept."""

    facts: ImageFacts
    method: Method
    bit_order: BitOrder | None
    kept: Content | None

    def hidden_in(self, data: bytes) -> HiddenPayload:
        """Return what a decoding process needs to read the payload."""
        return HiddenPayload(data, self.method, self.bit_order)


class MessageReader:
    """Reads the payloads of images from the bytes that were judged; bytes that were not kept are loaded again.

    `max_bytes` is the maximum total size of the images of one group.
    """

    def __init__(self, decoding: DecodingPool, loading: ChunkLoader, max_bytes: int) -> None:
        self._decoding = decoding
        self._loading = loading
        self._max_bytes = max_bytes

    def read(self, images: Iterable[Found], chunk: ChunkScan) -> Iterator[tuple[ImageFacts, Payload | None]]:
        """Yield each image with its payload; None if none can be read, or the bytes cannot be loaded again."""
        group: list[tuple[Found, bytes]] = []
        size = 0
        for image in images:
            if image.kept is None:
                yield image.facts, self._read_again(image, chunk)
                continue
            if len(group) == GROUP or size + len(image.kept.data) > self._max_bytes:
                yield from self._read_group(group, chunk)
                group, size = [], 0
            group.append((image, image.kept.data))
            size += len(image.kept.data)
        yield from self._read_group(group, chunk)

    def _read_group(
        self, group: list[tuple[Found, bytes]], chunk: ChunkScan
    ) -> Iterator[tuple[ImageFacts, Payload | None]]:
        hidden = [image.hidden_in(data) for image, data in group]
        payloads = self._decoding.read_payloads(hidden, at_once=chunk.at_once)
        for (image, _), payload in zip(group, payloads, strict=True):
            yield image.facts, payload

    def _read_again(self, image: Found, chunk: ChunkScan) -> Payload | None:
        try:
            content = self._loading.load_again(image.facts, chunk)
        except ImageError:
            return None
        except MemoryError:
            raise
        except Exception:
            # The verdict does not depend on the message.
            log.exception("an image could not be loaded again for its message")
            return None
        try:
            # The bytes behind the reference may have changed.
            if hashlib.sha256(content.data).digest() != image.facts.sha256:
                return None
            ((_, payload),) = self._read_group([(image, content.data)], chunk)
            return payload
        finally:
            content.release()

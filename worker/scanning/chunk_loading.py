"""Loads the images of chunks in groups: files in the chunk's own thread, all else in threads that chunks share."""

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from storage.blobs import Blobs
from storage.settings import Settings
from worker.scanning.budget import Budget
from worker.scanning.chunk_scan import ChunkScan, GivenUpError, ImageFacts
from worker.scanning.content import Content, ContentReader, LargeImageError
from worker.scanning.decoding_memory import GROUP
from worker.scanning.fair_semaphore import FairSemaphore
from worker.scanning.fair_threads import FairThreads
from worker.scanning.fetching import Fetcher
from worker.scanning.loading import Loader

# References to our own storage, as opposed to those that are fetched from servers of others, which may be slow.
LOCAL = ("file:", "blob:")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An image with its bytes."""

    facts: ImageFacts
    content: Content


class ChunkLoader:
    """Loads for many chunks at once. Local images never wait for threads or memory of images that are fetched."""

    def __init__(self, settings: Settings) -> None:
        self._fetcher = Fetcher(settings)
        self._loader = Loader(Blobs(settings.blobs()), self._fetcher)
        self._max_bytes = settings.max_image_bytes
        half = max(1, settings.large_images_bytes // 2)
        self._memory, self._memory_to_fetch = Budget(half), Budget(half)
        self._small_reader = ContentReader(settings.max_image_bytes, None)
        self._reading = FairSemaphore(settings.decode_processes)
        self._opening = ThreadPoolExecutor(max(1, settings.fetch_threads // 2), thread_name_prefix="blob")
        self._fetching = FairThreads(settings.fetch_threads, "fetch")

    def stop(self) -> None:
        """Stop the threads; no chunk may be loading."""
        self._opening.shutdown()
        self._fetching.stop()
        self._fetcher.close()

    def load(self, chunk: ChunkScan) -> Generator[list[Loaded], None, None]:
        """Yield the images that can be loaded, in groups: small ones together, each large one alone.

        A large image holds bytes that others wait for, so it is yielded before anything else is waited for. Its bytes
        are released when the next group is requested or the generator is closed. Raises GivenUpError.
        """
        for start in range(0, len(chunk.images), GROUP):
            group = chunk.images[start : start + GROUP]
            files = [image for image in group if image.uri.startswith("file:")]
            is_left = threading.Event()
            coming = {
                self._start(image, chunk, is_left.is_set): image for image in group if not image.uri.startswith("file:")
            }
            try:
                small, large = self._load_small_files(files, chunk)
                for image, load in await_loads(coming, chunk):
                    loaded = chunk.attempt(image, load)
                    if loaded and loaded.content.is_large:
                        yield from hand_out(loaded)
                    elif loaded:
                        small.append(loaded)
                for image in large:
                    if loaded := chunk.attempt(
                        image, partial(self._load, image, self._make_reader(image, chunk), chunk)
                    ):
                        yield from hand_out(loaded)
                yield sorted(small, key=lambda loaded: loaded.facts.ordinal)
            finally:
                # If the scan has failed or no longer waits, some loads are still running.
                is_left.set()
                for future in coming:
                    future.cancel()
                    future.add_done_callback(release_loaded)

    def load_again(self, image: ImageFacts, chunk: ChunkScan) -> Content:
        """Return the bytes behind the reference, which may have changed since the first load; raises ImageError.

        Fetches end when the chunk's time for loading is over, or when the chunk is given up.
        """
        reader = self._make_reader(image, chunk)
        return self._loader.load(
            image.uri, reader, follow_links=chunk.follow_links, is_given_up=lambda: not chunk.is_waited_for()
        )

    def _start(self, image: ImageFacts, chunk: ChunkScan, is_given_up: Callable[[], bool]) -> "Future[Loaded]":
        call = partial(self._load, image, self._make_reader(image, chunk), chunk, is_given_up)
        if image.uri.startswith(LOCAL):
            return self._opening.submit(call)
        return self._fetching.submit(chunk.submitter, call)

    def _make_reader(self, image: ImageFacts, chunk: ChunkScan) -> ContentReader:
        memory = self._memory if image.uri.startswith(LOCAL) else self._memory_to_fetch
        return ContentReader(self._max_bytes, memory, chunk.submitter, chunk.loading_left_s())

    def _load_small_files(self, files: Sequence[ImageFacts], chunk: ChunkScan) -> tuple[list[Loaded], list[ImageFacts]]:
        """Load the small files; return these, and the large ones unread."""
        small, large = [], []
        with self._reading.take(at_once=chunk.at_once):
            for image in files:
                try:
                    loaded = chunk.attempt(image, partial(self._load, image, self._small_reader, chunk))
                except LargeImageError:
                    large.append(image)
                    continue
                if loaded:
                    small.append(loaded)
        return small, large

    def _load(
        self,
        image: ImageFacts,
        reader: ContentReader,
        chunk: ChunkScan,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> Loaded:
        content = self._loader.load(image.uri, reader, follow_links=chunk.follow_links, is_given_up=is_given_up)
        digest = hashlib.sha256(content.data).digest()
        return Loaded(ImageFacts(image.ordinal, image.uri, digest, len(content.data)), content)


def await_loads(
    coming: "Mapping[Future[Loaded], ImageFacts]", chunk: ChunkScan
) -> Iterator[tuple[ImageFacts, Callable[[], Loaded]]]:
    """Yield each image once it is loaded or has failed, with a function that returns the result or raises the error.

    Images that do not arrive within the chunk's time for loading fail. Raises GivenUpError.
    """
    waiting = dict(coming)
    awaited: list[Future[Any]] = [*coming, chunk.given_up]
    try:
        for future in as_completed(awaited, chunk.loading_left_s()) if coming else ():
            if future is chunk.given_up:
                raise GivenUpError
            yield waiting.pop(future), future.result
            if not waiting:
                return
    except TimeoutError:
        for image in waiting.values():
            yield image, chunk.refuse_late


def hand_out(loaded: Loaded) -> Iterator[list[Loaded]]:
    """Yield a large image alone, then release its bytes of the budget."""
    try:
        yield [loaded]
    finally:
        loaded.content.release()


def release_loaded(loading: "Future[Loaded]") -> None:
    """Release the bytes that were loaded, if any."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().content.release()

"""The state that requests share: the database, the blobs, the limits, and the settings."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine

from producer.api.known_keys import KnownKeys
from producer.api.permits import KeyPermits, LonePermit
from storage.blobs import Blobs
from storage.lone_uploads import DispatchLimits
from storage.settings import Settings
from storage.storage_limits import StorageLimits
from storage.waiting import WaitingLimits

# Images that are read concurrently, and pictures that are rendered concurrently.
READERS = 2
MAKERS = 2
# Requests that list buckets concurrently.
LISTERS = 4


@dataclass(frozen=True, slots=True)
class Service:
    """The shared state of one API process.

    Requests hold one of `reading_turns` while they read an image, and one of `picture_turns` while a picture is
    rendered. Waiting for a turn takes neither a thread nor memory for an image.
    """

    engine: Engine
    blobs: Blobs
    settings: Settings
    limiter: SlidingWindowCounterRateLimiter
    known_keys: KnownKeys = field(default_factory=KnownKeys, init=False)
    unpacking: KeyPermits = field(init=False)
    listing: KeyPermits = field(
        default_factory=lambda: KeyPermits(LISTERS, "listing a bucket", "this server"), init=False
    )
    verifying: LonePermit = field(default_factory=lambda: LonePermit("another job is being verified"), init=False)
    comparing: LonePermit = field(default_factory=lambda: LonePermit("two models are being compared"), init=False)
    reading_turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS), init=False)
    picture_turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAKERS), init=False)

    def __post_init__(self) -> None:
        """Set the number of archives that are unpacked concurrently."""
        object.__setattr__(
            self,
            "unpacking",
            KeyPermits(self.settings.unpack_processes, "unpacking an archive", "STARLIGHT_UNPACK_PROCESSES"),
        )

    @property
    def dispatch_limits(self) -> DispatchLimits:
        """Return the limits for dispatching images at their submission."""
        return DispatchLimits(self.settings.dispatch_window, self.settings.lease_s)

    @property
    def storage_limits(self) -> StorageLimits:
        """Return how many bytes a key's jobs may store, and how many must stay free on the disk."""
        return StorageLimits(self.settings.max_stored_bytes_per_key, self.settings.min_free_bytes)

    @property
    def waiting_limits(self) -> WaitingLimits:
        """Return how many images may wait."""
        return WaitingLimits(self.settings.max_waiting_images_per_key, self.settings.max_waiting_images)


async def get_service(request: Request) -> Service:
    """Return the shared state of this process."""
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(get_service)]

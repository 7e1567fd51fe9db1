"""What requests share: the database, the blobs, the limits, and the settings."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine

from producer.api.permits import UnpackingPermits, VerifyingPermit
from storage.blobs import Blobs
from storage.settings import Settings
from storage.waiting import WaitingLimits


@dataclass(frozen=True, slots=True)
class Service:
    """The connections of one process of the API."""

    engine: Engine
    blobs: Blobs
    settings: Settings
    limiter: SlidingWindowCounterRateLimiter
    unpacking: UnpackingPermits = field(init=False)
    verifying: VerifyingPermit = field(default_factory=VerifyingPermit, init=False)

    def __post_init__(self) -> None:
        """Allow as many archives as are set."""
        object.__setattr__(self, "unpacking", UnpackingPermits(self.settings.unpack_processes))

    @property
    def waiting_limits(self) -> WaitingLimits:
        """Return how many images may wait."""
        return WaitingLimits(self.settings.max_waiting_images_per_key, self.settings.max_waiting_images)


def get_service(request: Request) -> Service:
    """Return what requests of this process share."""
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(get_service)]

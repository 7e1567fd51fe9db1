"""Requests with one image: those that come at once are taken in together."""

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from producer.api.service import Service
from storage.jobs import UploadExpiredError
from storage.lone_uploads import LoneImage, submit_lone_images
from storage.uploads import StorageFullError, StoredBytesError
from storage.waiting import TooManyWaitingError

# Lots that are taken in at once, so that a slow store of blobs keeps not all waiting; and images in each.
LOTS = 2
LOT = 32
# Of one image, whatever the others of its lot are.
REFUSALS = (StoredBytesError, StorageFullError, TooManyWaitingError, UploadExpiredError)

Waiting: TypeAlias = tuple[LoneImage, "asyncio.Future[uuid.UUID]"]


class LoneImages:
    """Takes images in, each as a job of its own; whoever comes while others are taken in is of the next lot."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: deque[Waiting] = deque()
        self._working: set[asyncio.Task[None]] = set()

    async def submit(self, image: LoneImage) -> uuid.UUID:
        """Submit an image and return its job; raises what `submit_lone_images` does."""
        taken_in: asyncio.Future[uuid.UUID] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, taken_in))
        if len(self._working) < LOTS:
            working = asyncio.create_task(self._work())
            self._working.add(working)
            working.add_done_callback(self._working.discard)
        return await taken_in

    async def _work(self) -> None:
        while self._waiting:
            lot = [self._waiting.popleft() for _ in range(min(LOT, len(self._waiting)))]
            results = await run_in_threadpool(self._submit, [image for image, _ in lot])
            for (_, taken_in), result in zip(lot, results, strict=True):
                # Nobody waits where the client has gone.
                if taken_in.done():
                    continue
                if isinstance(result, Exception):
                    taken_in.set_exception(result)
                else:
                    taken_in.set_result(result)

    def _submit(self, images: Sequence[LoneImage]) -> Sequence[uuid.UUID | Exception]:
        """Return the job of each, or what stands against it."""
        service = self._service
        try:
            return submit_lone_images(
                service.engine, service.blobs, images, service.storage_limits, service.waiting_limits
            )
        except REFUSALS as error:
            return [error] if len(images) == 1 else [result for one in images for result in self._submit([one])]
        except Exception as error:
            return [error] * len(images)


async def get_lone_images(request: Request) -> LoneImages:
    """Return what takes images in for this process."""
    lone: LoneImages = request.app.state.lone_images
    return lone


TakingIn = Annotated[LoneImages, Depends(get_lone_images)]

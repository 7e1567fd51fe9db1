"""Submitting images of requests with one image: images that arrive together are stored together."""

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from producer.api.service import Service
from producer.dispatching.lone_messages import LonePublisher
from storage.lone_uploads import NONE_AT_ONCE, LoneImage, submit_lone_images
from storage.storage_limits import StorageFullError, StoredBytesError
from storage.submission import UploadExpiredError
from storage.waiting import TooManyWaitingError

# Images that are submitted together, at most. If a lot takes longer than `PATIENCE_S`, another one is started beside
# it, so that one slow write to the blob store does not delay all requests.
LOT = 32
LOTS = 2
PATIENCE_S = 0.1
# Iterations of the event loop before a lot starts, in which more requests can join it.
TURNS = 8
# Errors that may concern only one image of a lot: the images are then submitted one by one.
REFUSALS = (StoredBytesError, StorageFullError, TooManyWaitingError, UploadExpiredError)

Waiting: TypeAlias = tuple[LoneImage, "asyncio.Future[uuid.UUID]"]


class LoneImages:
    """Submits each image as a job; images that arrive while a lot is being submitted form the next lot."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting: deque[Waiting] = deque()
        self._working: set[asyncio.Task[None]] = set()
        # How many of these tasks still take lots, and when the last lot began.
        self._at_work = 0
        self._begun_at = 0.0
        settings = service.settings
        # RabbitMQ gets its messages from dispatchers.
        by_redis = settings.redis_url if settings.broker_url is None else None
        self._publisher = LonePublisher(by_redis) if by_redis else None

    async def submit(self, image: LoneImage) -> uuid.UUID:
        """Submit an image and return the id of its job; raises what `submit_lone_images` raises."""
        submitted: asyncio.Future[uuid.UUID] = asyncio.get_running_loop().create_future()
        self._waiting.append((image, submitted))
        self._start_working()
        return await submitted

    def _start_working(self) -> None:
        is_slow = asyncio.get_running_loop().time() - self._begun_at >= PATIENCE_S
        if self._waiting and (not self._at_work or (is_slow and self._at_work < LOTS)):
            self._at_work += 1
            working = asyncio.create_task(self._work())
            self._working.add(working)
            working.add_done_callback(self._working.discard)

    async def _work(self) -> None:
        try:
            await self._submit_lots()
        finally:
            # There must be no `await` between the last check of `_waiting` and this: an image added there would never
            # be taken.
            self._at_work -= 1

    async def _submit_lots(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._begun_at = loop.time()
            for _ in range(TURNS):
                await asyncio.sleep(0)
            beside = loop.call_later(PATIENCE_S, self._start_working)
            lot = [self._waiting.popleft() for _ in range(min(LOT, len(self._waiting)))]
            results = await run_in_threadpool(self._submit, [image for image, _ in lot])
            beside.cancel()
            for (_, submitted), result in zip(lot, results, strict=True):
                # It is cancelled if the client has disconnected.
                if submitted.done():
                    continue
                if isinstance(result, Exception):
                    submitted.set_exception(result)
                else:
                    submitted.set_result(result)

    def _submit(self, images: Sequence[LoneImage]) -> Sequence[uuid.UUID | Exception]:
        """Return the id of each image's job, or the error."""
        service = self._service
        try:
            jobs, dispatched = submit_lone_images(
                service.engine,
                service.blobs,
                images,
                service.storage_limits,
                service.waiting_limits,
                service.dispatch_limits if self._publisher else NONE_AT_ONCE,
            )
        except REFUSALS as error:
            return [error] if len(images) == 1 else [result for one in images for result in self._submit([one])]
        except Exception as error:
            return [error] * len(images)
        if self._publisher:
            self._publisher.publish(dispatched)
        return jobs


async def get_lone_images(request: Request) -> LoneImages:
    """Return the `LoneImages` of this process."""
    lone: LoneImages = request.app.state.lone_images
    return lone


SharedLoneImages = Annotated[LoneImages, Depends(get_lone_images)]

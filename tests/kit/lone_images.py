"""Lone images: submitting and dispatching them."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Engine

from starlight_vocabulary.words import Priority
from storage.blobs import Blobs
from storage.dispatch import DispatchedChunk, group_by_message, pick_chunks
from storage.lone_uploads import LoneImage, submit_lone_images
from storage.storage_limits import StorageLimits
from storage.waiting import WaitingLimits
from tests.kit.pictures import encode_pattern

NO_LIMITS = StorageLimits(None, 0)
ROOM = WaitingLimits(1000, 1000)
PICTURE = encode_pattern("PNG")


def submit_lone(engine: Engine, blobs: Blobs, *images: bytes, submitter: str = "ann") -> list[uuid.UUID]:
    """Submit each of these images as its own job; return the ids of the jobs."""
    listed = [LoneImage(submitter, f"{number}.png", data, None) for number, data in enumerate(images)]
    return submit_lone_images(engine, blobs, listed, NO_LIMITS, ROOM)[0]


def dispatch_all(engine: Engine, workers: int = 1) -> list[list[DispatchedChunk]]:
    """Dispatch all waiting interactive chunks; return the chunks of each message."""
    return group_by_message(pick_chunks(engine, Priority.INTERACTIVE, 100, workers))


def list_ids(chunks: Sequence[DispatchedChunk]) -> list[uuid.UUID]:
    """Return the ids of the chunks of a message."""
    return [chunk.chunk_id for chunk in chunks]

"""Publishing lone chunks that were dispatched at their submission; the API does this right after storing them.

Lost messages are published again by a dispatcher, as for all chunks.
"""

import logging
from collections.abc import Sequence

import redis

from storage.broker import name_queue, open_redis
from storage.dispatch import DispatchedChunk, group_by_message
from worker.task_description import describe_task
from worker.task_shape import write_lone_task

# Requests wait for Redis no longer than this; dispatchers publish the messages later.
TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class LonePublisher:
    """Writes messages to Redis in Celery's format, without Celery's overhead. Thread-safe."""

    def __init__(self, redis_url: str) -> None:
        self._broker = open_redis(redis_url, TIMEOUT_S)

    def publish(self, chunks: Sequence[DispatchedChunk]) -> None:
        """Publish these chunks, several per message; failures of Redis are only logged."""
        if not chunks:
            return
        try:
            with self._broker.pipeline(transaction=False) as pipeline:
                for message in group_by_message(chunks):
                    first, queue = message[0], name_queue(message[0].priority)
                    description = describe_task(first.chunk_id, first.job_id, first.images, len(message) - 1)
                    pipeline.lpush(queue, write_lone_task([chunk.chunk_id for chunk in message], queue, description))
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("Redis takes no messages; a dispatcher publishes them later: %s", error)

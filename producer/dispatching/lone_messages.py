"""Messages of lone chunks that were dispatched as they were submitted: who submits publishes them, once it is stored.

A dispatcher publishes again what does not arrive, as all that Redis loses.
"""

import logging
from collections.abc import Sequence

import redis

from storage.broker import name_queue, open_redis
from storage.dispatch import DispatchedChunk, group_by_message
from worker.task_description import describe_task
from worker.task_shape import write_lone_task

# A Redis that takes longer to answer keeps those waiting who submit; what it does not get, dispatchers send again.
TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class LonePublisher:
    """Puts messages into Redis as Celery does, without what Celery does beside; used by many threads at once."""

    def __init__(self, redis_url: str) -> None:
        self._broker = open_redis(redis_url, TIMEOUT_S)

    def publish(self, chunks: Sequence[DispatchedChunk]) -> None:
        """Publish these chunks, which share messages; where Redis takes none, it is logged."""
        if not chunks:
            return
        try:
            with self._broker.pipeline(transaction=False) as pipeline:
                for message in group_by_message(chunks):
                    first, queue = message[0], name_queue(message[0].priority)
                    told = describe_task(first.chunk_id, first.job_id, first.images, len(message) - 1)
                    pipeline.lpush(queue, write_lone_task([chunk.chunk_id for chunk in message], queue, told))
                pipeline.execute()
        except redis.RedisError as error:
            log.warning("Redis takes no messages, so a dispatcher sends them again: %s", error)

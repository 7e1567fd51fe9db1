"""Whether this process takes messages from Redis: not while it drains, so that those go to other workers."""

import logging
import threading
from typing import Any

from storage.broker import QUEUES

log = logging.getLogger(__name__)


class Consumption:
    """Turns the Celery consumer of this process on and off, from any thread, before it is there too.

    Celery keeps what is turned off over lost connections to Redis.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumer: Any = None
        self._wanted = True

    def attach(self, consumer: Any) -> None:  # noqa: ANN401 - Celery's consumers have no types
        """Take the consumer, which has just begun to consume."""
        with self._lock:
            self._consumer = consumer
        self._switch_soon()

    def set(self, wanted: bool) -> None:
        """Take messages, or take no more of them."""
        with self._lock:
            if wanted == self._wanted:
                return
            self._wanted = wanted
        log.info("this worker takes chunks again" if wanted else "this worker drains: it takes no more chunks")
        self._switch_soon()

    def _switch_soon(self) -> None:
        # In the consumer's own thread: its connection is used by no other.
        if self._consumer is not None:
            self._consumer.call_soon(self._switch)

    def _switch(self) -> None:
        consumer = self._consumer
        for queue in QUEUES:
            if self._wanted:
                consumer.add_task_queue(queue)
            else:
                consumer.cancel_task_queue(queue)

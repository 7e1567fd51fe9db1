"""Switches message consumption off while this worker drains, so that messages go to other workers."""

import logging
import threading
from typing import Any

from storage.broker import QUEUES

log = logging.getLogger(__name__)


class Consumption:
    """Turns this process's Celery consumer on and off. Thread-safe; may be called before the consumer exists.

    Celery keeps the setting when it reconnects to Redis.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._consumer: Any = None
        self._wanted = True

    def attach(self, consumer: Any) -> None:  # noqa: ANN401 - Celery's consumers have no types
        """Control this consumer, which has just started to consume."""
        with self._lock:
            self._consumer = consumer
        self._switch_soon()

    def set(self, wanted: bool) -> None:
        """Start or stop taking messages."""
        with self._lock:
            if wanted == self._wanted:
                return
            self._wanted = wanted
        log.info("this worker takes chunks again" if wanted else "this worker drains: it takes no more chunks")
        self._switch_soon()

    def _switch_soon(self) -> None:
        # Only the consumer's own thread may use its connection.
        if self._consumer is not None:
            self._consumer.call_soon(self._switch)

    def _switch(self) -> None:
        consumer = self._consumer
        for queue in QUEUES:
            if self._wanted:
                consumer.add_task_queue(queue)
            else:
                consumer.cancel_task_queue(queue)

"""A Celery consumer that sends its events for Flower in batches instead of one by one."""

import math
from typing import Any

from celery.worker.consumer import Consumer

# How long events wait in the buffer.
SEND_EVERY_S = 0.5
# The value of `worker_consumer` in Celery's configuration.
NAME = f"{__name__}:BufferingConsumer"


class BufferingConsumer(Consumer):
    """Sends buffered events at intervals: for chunks of one image, sending each alone costs more than the scan."""

    _sending: Any = None

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu's hub has no types
        """Register the timer; Celery calls this again after each reconnection."""
        super().register_with_event_loop(hub)
        if self._sending is not None:
            self._sending.cancel()
        # Otherwise the thread that adds the 24th event would send them, beside the thread that uses the connection.
        # Celery's types lack both attributes.
        self.event_dispatcher.buffer_limit = math.inf  # type: ignore[attr-defined]
        self._sending = hub.call_repeatedly(SEND_EVERY_S, self._flush_events)  # type: ignore[attr-defined]

    def on_send_event_buffered(self) -> None:  # type: ignore[override]
        """Leave the event in the buffer."""

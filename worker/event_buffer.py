"""A Celery consumer that sends its events for Flower in batches instead of one by one."""

from typing import Any

from celery.worker.consumer import Consumer

# How long events wait in the buffer. Celery sends a buffer of 24 events at once.
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
        self._sending = hub.call_repeatedly(SEND_EVERY_S, self._flush_events)  # type: ignore[attr-defined]

    def on_send_event_buffered(self) -> None:  # type: ignore[override]
        """Leave the event in the buffer."""

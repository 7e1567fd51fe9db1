"""A Celery consumer that sends its events for Flower in batches, not each as soon as it can."""

from typing import Any

from celery.worker.consumer import Consumer

# Events wait so long for others; 24 of them wait no longer (Celery's own limit).
SEND_EVERY_S = 0.5
# Where Celery finds it.
NAME = f"{__name__}:BufferingConsumer"


class BufferingConsumer(Consumer):
    """Sends what is buffered at intervals: for chunks of one image, each event alone costs more than the scan."""

    _sending: Any = None

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu's hub has no types
        """Take part in the event loop, which is entered again after each lost connection."""
        super().register_with_event_loop(hub)
        if self._sending is not None:
            self._sending.cancel()
        self._sending = hub.call_repeatedly(SEND_EVERY_S, self._flush_events)  # type: ignore[attr-defined]

    def on_send_event_buffered(self) -> None:  # type: ignore[override]
        """Leave it in the buffer."""

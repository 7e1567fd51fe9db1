"""Leads the Celery application of this process to another broker."""

from collections.abc import Iterator
from contextlib import contextmanager

from kombu import pools

from worker.app import app, name_transport, use_broker

SETTINGS = (
    "broker_url", "broker_use_ssl", "broker_transport_options", "broker_transport",
    "worker_enable_prefetch_count_reduction",
)  # fmt: skip


def start_anew() -> None:
    """Make the application open new connections."""
    pools.reset()
    # Celery's types lack this method.
    app._after_fork()  # type: ignore[attr-defined]


@contextmanager
def lead_application_to(url: str) -> Iterator[None]:
    """Make the application send to the broker at this URL within the block, and check what it receives as a worker."""
    before = {name: app.conf[name] for name in SETTINGS}
    use_broker(url, only_sends=True)
    app.conf.broker_transport = name_transport(url)
    start_anew()
    try:
        yield
    finally:
        app.conf.update(before)
        start_anew()

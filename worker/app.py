"""The Celery application. Its tasks scan one chunk, or several lone chunks together; they carry chunk ids only."""

import ssl

from celery import Celery
from kombu import Queue

from storage.broker import QUEUES
from storage.rabbitmq_urls import is_rabbitmq, read_rabbitmq_url
from storage.redis_urls import read_sentinels
from storage.settings import read_settings

# Redis redelivers a message that no worker has acknowledged for this many leases.
VISIBILITY_LEASES = 2
REDIS_OPTIONS = {
    # Workers empty the first queue before they read the second.
    "queue_order_strategy": "priority",
    # A fallback only: the lease in PostgreSQL decides when a chunk runs again.
    "visibility_timeout": VISIBILITY_LEASES * read_settings().lease_s,
    "health_check_interval": 10,
    "socket_timeout": 30,
    "socket_connect_timeout": 10,
}
# For programs that only send: RabbitMQ tells of each message whether it was stored, within so many seconds.
RABBITMQ_SENDER_OPTIONS = {"confirm_publish": True, "read_timeout": 30, "write_timeout": 30}

app = Celery("starlight")
app.conf.update(
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options=dict(REDIS_OPTIONS),
    task_acks_late=True,
    task_create_missing_queues=False,
    task_default_queue=QUEUES[-1],
    task_ignore_result=True,
    task_queues=[Queue(name) for name in QUEUES],
    task_send_sent_event=True,
    task_serializer="json",
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)


def use_broker(url: str, *, only_sends: bool = False) -> None:
    """Set the URL of Redis or RabbitMQ that the application uses; `only_sends` if it receives no messages."""
    if is_rabbitmq(url):
        address = read_rabbitmq_url(url)
        app.conf.update(
            broker_url=address.url,
            broker_use_ssl=address.tls,
            broker_transport_options=dict(RABBITMQ_SENDER_OPTIONS) if only_sends else {},
            # After a lost connection, task threads would restore the count themselves, and read from the connection
            # while Celery's thread does, which destroys it.
            worker_enable_prefetch_count_reduction=False,
        )
        return
    # kombu ignores the scheme and connects without TLS unless this is set. TLS options in the URL override it.
    app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if url.startswith("rediss://") else False
    sentinels = read_sentinels(url)
    app.conf.update(broker_url=sentinels.celery_url if sentinels else url, broker_transport_options=dict(REDIS_OPTIONS))
    if sentinels:
        app.conf.broker_transport_options |= {"master_name": sentinels.service, "sentinel_kwargs": sentinels.login}


def name_transport(url: str | None) -> str:
    """Return the value of Celery's `broker_transport` with which a worker checks the messages from this broker."""
    if url is not None and is_rabbitmq(url):
        return "worker.rabbitmq_messages:Transport"
    by_sentinels = url is not None and read_sentinels(url) is not None
    return f"worker.redis_messages:{'Sentinel' if by_sentinels else ''}Transport"


if configured := read_settings().broker_url or read_settings().redis_url:
    use_broker(configured)

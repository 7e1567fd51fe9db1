"""The server of the API: its configuration, start and end."""

import gc
import logging
import socket
import sys
from contextlib import suppress
from functools import partial

import uvicorn
from fastapi import FastAPI
from limits.strategies import SlidingWindowCounterRateLimiter
from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from producer.api.app import create_app
from producer.api.connections import BoundedProtocol, Connections
from producer.api.counters import open_counters
from producer.api.metrics import ApiMetrics
from producer.api.service import Service
from storage.blobs import Blobs
from storage.database import connect, wait_out_outages
from storage.descriptors import raise_descriptor_limit
from storage.logs import set_up_logging
from storage.metrics_server import serve_metrics
from storage.schema_version import SchemaError, check_schema
from storage.settings import Settings, read_settings
from storage.traces import set_up_traces

# Size of the database connection pool; further requests wait for a connection.
CONNECTIONS = 16
# Requests with a longer head are refused.
MAX_HEAD_BYTES = 64 * 2**10
MOST_BACKLOG = 2048
# Loggers whose messages clients can cause at will; their rate is limited more strictly.
STRANGERS = ("asyncio", "uvicorn.error", "producer.api.connections", "producer.api.refusals")

log = logging.getLogger(__name__)


class ApiServer(uvicorn.Server):
    """Logs its address, and closes event streams on shutdown, for which it would wait otherwise."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and log the address."""
        await super().startup(sockets)
        if self.started:
            log.info("the API is running on http://%s:%d", self.config.host, self.config.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting requests, and end those in progress."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.job_events.close()
        await super().shutdown(sockets)


def serve_own_metrics(registry: CollectorRegistry, configured: Settings) -> None:
    """Serve the metrics of this process, with its memory and processor time, if a port is configured for them."""
    if not configured.api_metrics_port:
        return
    ProcessCollector(registry=registry)
    try:
        serve_metrics(registry, configured, configured.api_metrics_port)
    except OSError as error:
        sys.exit(f"starlight api: cannot serve metrics on port {configured.api_metrics_port}: {error.strerror}")
    log.info("metrics of the API are served on %s, port %d", configured.exporter_host, configured.api_metrics_port)


def main() -> None:
    """Serve on the configured address."""
    set_up_logging("api", strangers=STRANGERS)
    set_up_traces("api")
    configured = read_settings()
    assert configured.database_url is not None, "STARLIGHT_DATABASE_URL is not set: use `starlight api`"
    assert configured.redis_url is not None, "STARLIGHT_REDIS_URL is not set: use `starlight api`"
    engine = connect(
        configured.database_url,
        direct_url=configured.database_direct_url,
        pool_size=CONNECTIONS,
        application="starlight api",
    )
    try:
        wait_out_outages(lambda: check_schema(engine))
    except SchemaError as error:
        sys.exit(f"starlight api: {error}")
    limiter = SlidingWindowCounterRateLimiter(open_counters(configured.redis_url))
    service = Service(engine, Blobs(configured.blobs()), configured, limiter)
    descriptors = raise_descriptor_limit()
    metrics = ApiMetrics()
    serve_own_metrics(metrics.registry, configured)
    connections = Connections(min(configured.max_connections, descriptors // 2), configured.max_connections_per_address)
    config = uvicorn.Config(
        create_app(service, metrics),
        host=configured.api_host,
        port=configured.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        # Any client could forge these headers.
        proxy_headers=False,
        # Uvicorn would use uvloop wherever another library has brought it along.
        loop="asyncio",
        # Uvicorn only calls it; merely its type annotation requires a class.
        http=partial(  # type: ignore[arg-type]
            BoundedProtocol,
            connections=connections,
            head_s=configured.head_timeout_s,
            transfer_s=configured.transfer_timeout_s,
        ),
        # WebSockets would replace our protocol, and the connection would never be uncounted.
        ws="none",
        # So many connections may be accepted at once before any is counted.
        backlog=min(MOST_BACKLOG, descriptors // 8),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=10,
    )
    server = ApiServer(config)
    # All that exists now stays until the end. Looking through it again and again would take a tenth of the API's time.
    gc.freeze()
    gc.enable()
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(1)

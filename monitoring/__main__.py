"""`python -m monitoring`: serve metrics until stopped."""

import logging
import signal
import sys
from types import FrameType

from prometheus_client import CollectorRegistry

from monitoring.exporter import PATIENCE_S, StarlightCollector
from storage.broker import open_redis
from storage.database import connect, wait_out_outages
from storage.descriptors import raise_descriptor_limit
from storage.logs import set_up_logging
from storage.message_counts import open_counter
from storage.metrics_server import serve_metrics
from storage.schema_version import SchemaError, check_schema
from storage.settings import read_settings

log = logging.getLogger(__name__)


def end(_signal: int, _frame: FrameType | None) -> None:
    """End the process."""
    sys.exit(0)


def main() -> None:
    """Serve `/metrics`."""
    set_up_logging("exporter")
    signal.signal(signal.SIGTERM, end)
    raise_descriptor_limit()
    configured = read_settings()
    assert configured.database_url is not None, "STARLIGHT_DATABASE_URL is not set: use `starlight exporter`"
    assert configured.redis_url is not None, "STARLIGHT_REDIS_URL is not set: use `starlight exporter`"
    engine = connect(
        configured.database_url,
        direct_url=configured.database_direct_url,
        pool_size=2,
        application="starlight exporter",
        connect_timeout_s=int(PATIENCE_S),
    )
    client = open_redis(configured.redis_url, PATIENCE_S)
    counter = open_counter(configured.broker_url, client)
    registry = CollectorRegistry()
    registry.register(StarlightCollector(engine, client, counter, configured))
    # Before the database is checked, so that the metrics show if it is down.
    serve_metrics(registry, configured, configured.exporter_port)
    log.info("metrics are served on %s, port %d", configured.exporter_host, configured.exporter_port)
    try:
        wait_out_outages(lambda: check_schema(engine))
    except SchemaError as error:
        sys.exit(f"starlight exporter: {error}")
    signal.pause()


main()

"""`python -m monitoring`: serve the metrics until told to stop."""

import logging
import signal
import sys
from types import FrameType

import redis
from prometheus_client import CollectorRegistry, make_wsgi_app, start_http_server

from monitoring.exporter import StarlightCollector
from monitoring.serving import check_name
from storage.database import connect, wait_out_outages
from storage.descriptors import raise_descriptor_limit
from storage.hosts import list_names_if_known
from storage.logs import set_up_logging
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
    registry = CollectorRegistry()
    engine = connect(configured.database_url, pool_size=2, application="starlight exporter")
    try:
        wait_out_outages(lambda: check_schema(engine))
    except SchemaError as error:
        sys.exit(f"starlight exporter: {error}")
    registry.register(StarlightCollector(engine, redis.Redis.from_url(configured.redis_url), configured))
    names = list_names_if_known(configured.exporter_host, configured.allowed_hosts)
    server, _ = start_http_server(configured.exporter_port, configured.exporter_host, registry)
    server.set_app(check_name(make_wsgi_app(registry), names))
    log.info("metrics are served on %s, port %d", configured.exporter_host, configured.exporter_port)
    signal.pause()


main()

"""RabbitMQ URLs, with or without TLS."""

import ssl
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

SECURE_SCHEME = "amqps"
PLAIN_SCHEME = "amqp"


class RabbitAddress(NamedTuple):
    """What kombu needs to connect: a URL without a query, and the TLS options, False for none."""

    url: str
    tls: dict[str, Any] | bool


def read_rabbitmq_url(url: str) -> RabbitAddress:
    """Parse `amqp://user:password@host:port/vhost` or `amqps://…?cacertfile=FILE`.

    With TLS, the certificate and its host name are verified against the system's certificates, or those in the file.
    Raises ValueError for other queries.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query, strict_parsing=bool(parts.query))
    files = query.pop("cacertfile", [None])
    if query:
        raise ValueError("has an unknown query")
    bare = parts._replace(query="").geturl()
    if parts.scheme != SECURE_SCHEME:
        return RabbitAddress(bare, False)
    # Without a name here, py-amqp would not compare the certificate's.
    tls = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": parts.hostname, "ca_certs": files[-1]}
    return RabbitAddress(bare, tls)


def is_rabbitmq(url: str) -> bool:
    """Whether this is the URL of RabbitMQ, not of Redis."""
    return urlsplit(url).scheme in (PLAIN_SCHEME, SECURE_SCHEME)

"""Types of settings' values: what each accepts, and how it is read.

A message about a refused value never quotes it: URLs may contain passwords.
"""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from storage.hosts import is_loopback
from storage.rabbitmq_urls import PLAIN_SCHEME, SECURE_SCHEME, read_rabbitmq_url
from storage.redis_urls import SENTINEL_SCHEME, read_sentinels

MIN_PASSWORD = 8


def _read_port(url: str) -> int | None:
    return urlsplit(url).port


def _read_behind_password(url: str) -> int | None:
    # SQLAlchemy accepts unescaped slashes in passwords.
    return urlsplit(f"//{url.rpartition('@')[2]}").port


def _read_redis_url(url: str) -> object:
    return read_sentinels(url) or _read_port(url)


def _read_broker_url(url: str) -> object:
    return read_rabbitmq_url(url) and _read_port(url)


def _url_of(*schemes: str, read: Callable[[str], object] = _read_port) -> AfterValidator:
    def check(url: str | None) -> str | None:
        if not url:
            return None
        if not url.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        try:
            read(url)
        except ValueError:
            # The original message might quote the password.
            raise ValueError("is not a valid URL: write special characters in names and passwords as %XX") from None
        return url

    return AfterValidator(check)


def _check_direct_url(url: str | None, info: ValidationInfo) -> str | None:
    if url and not info.data.get("database_url"):
        raise ValueError("bypasses the pooler of STARLIGHT_DATABASE_URL: set both")
    return url


def _check_signing_secret(secret: SecretStr | None) -> SecretStr | None:
    if secret is None or not secret.get_secret_value():
        return None
    try:
        size = len(base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True))
    except ValueError:
        size = 0
    if not 24 <= size <= 64:
        raise ValueError("must be whsec_ and 24 to 64 bytes in Base64")
    return secret


def _check_flower_credentials(credentials: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    given = credentials.get_secret_value() if credentials else ""
    if given:
        name, _, password = given.partition(":")
        if not name or len(password) < MIN_PASSWORD:
            raise ValueError(f"must be name:password, with at least {MIN_PASSWORD} characters of password")
        return credentials
    if "flower_host" in info.data and not is_loopback(info.data["flower_host"]):
        raise ValueError(
            f"must be name:password, because Flower, which can stop workers, listens on {info.data['flower_host']}"
        )
    return None


def _read_seconds(value: object) -> object:
    return float(value) if isinstance(value, str) and value.strip().isdecimal() else value


DatabaseUrl = Annotated[str | None, _url_of("postgresql", read=_read_behind_password)]
DirectDatabaseUrl = Annotated[DatabaseUrl, AfterValidator(_check_direct_url)]
RedisUrl = Annotated[str | None, _url_of("redis", "rediss", SENTINEL_SCHEME, read=_read_redis_url)]
BrokerUrl = Annotated[str | None, _url_of(PLAIN_SCHEME, SECURE_SCHEME, read=_read_broker_url)]
BlobUrl = Annotated[str | None, _url_of("file", "s3", "gs", "az")]
HttpUrl = Annotated[str | None, _url_of("http", "https")]
NodeUrl = Annotated[
    str | None, _url_of(*(f"{kind}+{scheme}" for kind in ("rpc", "rest", "esplora") for scheme in ("http", "https")))
]
Port = Annotated[int, Field(ge=1, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]
"""A port; 0 means none."""
Duration = Annotated[timedelta, BeforeValidator(_read_seconds), Field(gt=timedelta(0))]
"""A time span: a number of seconds, `7d` or `12:00:00`."""
OptionalDuration = Annotated[timedelta, BeforeValidator(_read_seconds), Field(ge=timedelta(0))]
"""The same; may be 0."""
SigningSecret = Annotated[SecretStr | None, AfterValidator(_check_signing_secret)]
FlowerCredentials = Annotated[SecretStr | None, AfterValidator(_check_flower_credentials)]

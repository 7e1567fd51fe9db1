"""Images in buckets: `s3://BUCKET/KEY`, with the credentials and endpoint of the environment, else without any."""

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from obstore import sign
from obstore.store import S3Store

from storage.blobs import CLIENT, RETRIES, StoredObject, open_object
from storage.buckets import read_location

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# Where credentials may come from; without any of these, asking a cloud's metadata service for them takes minutes.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")

# Stores that stay open; each has connections of its own.
BUCKETS_KEPT = 64
# By RFC 6761, nothing is ever called so.
NO_PROXY_AT_ALL = "http://redirects-are-not-followed.invalid"
# Who gives credentials to machines without a key of their own.
CREDENTIAL_HOSTS = ("amazonaws.com", "169.254.170.2", "169.254.170.23")


def open_from_bucket(uri: str) -> StoredObject:
    """Return the object of a reference; raises ValueError where none can have this name, and what `obstore` raises."""
    location = read_location(uri)
    return open_object(open_bucket(location.bucket), location.path)


@lru_cache(maxsize=BUCKETS_KEPT)
def open_bucket(name: str) -> S3Store:
    """Return the store of a bucket, which connects to its endpoint and to no host that this one names."""
    signed = any(os.environ.get(variable) for variable in CREDENTIALS)
    asked = CREDENTIAL_HOSTS if signed and not os.environ.get("AWS_ACCESS_KEY_ID") else ()
    options = keep_to_endpoint(find_endpoint(name), asked)
    return S3Store(name, skip_signature=not signed, client_options=options, retry_config=RETRIES)


def find_endpoint(bucket: str) -> str:
    """Return the address that the environment gives the bucket, as a URL of one of its objects."""
    # A signature that is never sent: what is signed names the endpoint.
    unused = S3Store(bucket, access_key_id="none", secret_access_key="none", client_options=CLIENT)  # noqa: S106
    return sign(unused, "GET", "object", timedelta(minutes=1))


def keep_to_endpoint(endpoint: str, asked: Sequence[str] = ()) -> "ClientConfig":
    """Return options of a client that reaches this endpoint, and the hosts that are asked for credentials.

    `obstore` follows redirects and has no option against it. So everything else goes through a proxy that cannot be
    there; where the environment names one for this endpoint, that one decides. And with TLS, nothing goes on without.
    """
    parts = urlsplit(endpoint)
    client: ClientConfig = {**CLIENT, "allow_http": parts.scheme == "http"}
    if {parts.scheme, "all"} & getproxies().keys():
        return client
    return {**client, "proxy_url": NO_PROXY_AT_ALL, "proxy_excludes": ",".join([parts.hostname or "", *asked])}

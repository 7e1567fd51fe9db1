"""Images in buckets: `s3://BUCKET/KEY`, with the credentials and endpoint of the environment, else without any."""

import os
from functools import lru_cache

from obstore.store import S3Store

from storage.blobs import CLIENT, RETRIES, StoredObject, open_object
from storage.buckets import read_location

# Where credentials may come from; without any of these, asking a cloud's metadata service for them takes minutes.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")

# Stores that stay open; each has connections of its own.
BUCKETS_KEPT = 64


def open_from_bucket(uri: str) -> StoredObject:
    """Return the object of a reference; raises ValueError where none can have this name, and what `obstore` raises."""
    location = read_location(uri)
    return open_object(open_bucket(location.bucket), location.path)


@lru_cache(maxsize=BUCKETS_KEPT)
def open_bucket(name: str) -> S3Store:
    """Return the store of a bucket."""
    signed = any(os.environ.get(variable) for variable in CREDENTIALS)
    return S3Store(name, skip_signature=not signed, client_options=CLIENT, retry_config=RETRIES)

"""Images in buckets: `s3://BUCKET/KEY`, with the credentials and endpoint of the environment, else without any."""

import os
from functools import cache
from urllib.parse import unquote, urlsplit

from obstore.store import S3Store

from storage.blobs import CLIENT, RETRIES, StoredObject, open_object

# Where credentials may come from; without any of these, asking a cloud's metadata service for them takes minutes.
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")


def open_from_bucket(uri: str) -> StoredObject:
    """Return the object of a reference; raises what `obstore` raises."""
    parts = urlsplit(uri)
    return open_object(open_bucket(parts.netloc), unquote(parts.path.lstrip("/")))


@cache
def open_bucket(name: str) -> S3Store:
    """Return the store of a bucket."""
    signed = any(os.environ.get(variable) for variable in CREDENTIALS)
    return S3Store(name, skip_signature=not signed, client_options=CLIENT, retry_config=RETRIES)

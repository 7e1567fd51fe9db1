"""Foreign buckets, `s3://`, `gs://` and `az://`, read with the environment's credentials, or else without any."""

import os
import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlsplit
from urllib.request import getproxies

import obstore
from obstore import sign
from obstore.store import AzureStore, GCSStore, S3Store

from storage.blobs import CLIENT, PIECE_BYTES, RETRIES, StoredObject, open_object
from storage.buckets import Location, read_location
from storage.spans import read_span

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig

BucketStore = S3Store | GCSStore | AzureStore


class Credentials(NamedTuple):
    """Variables that provide credentials, those that contain the secret itself, and the hosts that issue the others."""

    variables: tuple[str, ...]
    secrets: tuple[str, ...]
    asked: tuple[str, ...]


# Without any of these, `obstore` would ask a cloud's metadata service for credentials, which takes minutes.
CREDENTIALS: Final = {
    "s3": Credentials(
        ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
        ("AWS_ACCESS_KEY_ID",),
        ("amazonaws.com", "169.254.170.2", "169.254.170.23"),
    ),
    "gs": Credentials(
        (
            "GOOGLE_BEARER_TOKEN", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH",
            "GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        ("GOOGLE_BEARER_TOKEN",),
        ("googleapis.com", "metadata.google.internal", "169.254.169.254"),
    ),
    "az": Credentials(
        (
            "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_CLIENT_SECRET", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE",
        ),
        (
            "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN",
        ),
        ("login.microsoftonline.com", "169.254.169.254"),
    ),
}  # fmt: skip

# Stores stay open, because each has its own connections.
BUCKETS_KEPT = 64
# Reserved by RFC 6761: never resolves.
NO_PROXY_AT_ALL = "http://redirects-are-not-followed.invalid"
GOOGLE = "https://storage.googleapis.com"
# The page size of a listing: the most that S3 returns.
LISTED_AT_ONCE = 1000
# In error messages of `obstore`: the HTTP status, the system's error, or why there was no answer.
REFUSAL = re.compile(r"status code: (\d{3} [\w' -]*\w)|: ([\w ]+) \(os error \d+\)|HTTP error: ([a-z ]+)")


class BucketObject(NamedTuple):
    """An object in a listing: its path, its size, and a version that changes with its content."""

    path: str
    size_bytes: int
    version: str


class OtherVersionError(Exception):
    """An object has another version or another size than expected."""


def open_from_bucket(uri: str) -> StoredObject:
    """Return the object of a reference, or the span of it that the reference names.

    Raises ValueError if no object can have this name, OtherVersionError, and the errors of `obstore`.
    """
    archive, _, fragment = uri.partition("#")
    span = read_span(fragment)
    location = read_location(uri if span is None else archive)
    store = open_bucket(location.scheme, location.bucket)
    if span is None:
        return open_object(store, location.path)
    if span.size == 0:
        return StoredObject(0, iter(()))
    return open_range(store, location.path, span.version, span.start, span.start + span.size)


def open_range(store: BucketStore, path: str, version: str, start: int, end: int) -> StoredObject:
    """Return some bytes of an object in this version; raises OtherVersionError, and the errors of `obstore`."""
    found = obstore.get(store, path, options={"range": (start, end)})
    if choose_version(found.meta) != version or found.range != (start, end):
        raise OtherVersionError
    return StoredObject(end - start, map(bytes, found.stream(min_chunk_size=PIECE_BYTES)))


def list_objects(location: Location, after: str | None = None) -> Iterator[BucketObject]:
    """Yield the objects below a location after the path `after`, page by page; raises the errors of `obstore`.

    An empty object whose name ends in a slash stands for a folder; it is left out if the folder has other objects.
    """
    store = open_bucket(location.scheme, location.bucket)
    last: ObjectMeta | None = None
    for page in obstore.list(store, location.path or None, offset=after, chunk_size=LISTED_AT_ONCE):
        for found in page:
            if last is not None and (last["size"] or not found["path"].startswith(f"{last['path']}/")):
                yield _describe(last)
            last = found
    if last is not None and (last["size"] or last["path"] != location.path):
        yield _describe(last)


def _describe(found: "ObjectMeta") -> BucketObject:
    return BucketObject(found["path"], found["size"], choose_version(found))


def choose_version(found: "ObjectMeta") -> str:
    """Return the ETag of an object, encoded for a URI; if the store has none, its size and time."""
    etag = (found["e_tag"] or "").strip('"')
    return quote(etag, safe="") or f"{found['size']}-{found['last_modified'].timestamp()}"


@lru_cache(maxsize=BUCKETS_KEPT)
def open_bucket(scheme: str, name: str) -> BucketStore:
    """Return the store of a bucket, which connects only to the endpoint and the hosts of its credentials.

    Raises obstore's GenericError if the environment lacks a setting, such as the Azure account.
    """
    known = CREDENTIALS[scheme]
    signed = any(os.environ.get(variable) for variable in known.variables)
    asked = known.asked if signed and not any(os.environ.get(variable) for variable in known.secrets) else ()
    client = keep_to_endpoint(find_endpoint(scheme, name), asked)
    if scheme == "s3":
        return S3Store(name, skip_signature=not signed, client_options=client, retry_config=RETRIES)
    if scheme == "gs":
        return GCSStore(name, skip_signature=not signed, client_options=client, retry_config=RETRIES)
    return AzureStore(name, skip_signature=not signed, client_options=client, retry_config=RETRIES)


def find_endpoint(scheme: str, bucket: str) -> str:
    """Return the endpoint of the bucket in this environment, as the URL of an object in it.

    Raises obstore's GenericError.
    """
    # Creates a signed URL that is never requested, because it contains the endpoint.
    if scheme == "s3":
        unused = S3Store(bucket, access_key_id="none", secret_access_key="none", client_options=CLIENT)  # noqa: S106
        return sign(unused, "GET", "object", timedelta(minutes=1))
    if scheme == "az":
        return sign(
            AzureStore(bucket, account_key="bm9uZQ==", client_options=CLIENT), "GET", "object", timedelta(minutes=1)
        )
    return os.environ.get("GOOGLE_BASE_URL") or GOOGLE


def keep_to_endpoint(endpoint: str, asked: Sequence[str] = ()) -> "ClientConfig":
    """Return client options for reaching this endpoint, and the hosts that issue credentials.

    `obstore` always follows redirects. All other hosts are therefore sent through a proxy that cannot exist. If the
    environment sets a proxy for this endpoint, that proxy decides. If the endpoint uses TLS, plain HTTP is refused.
    """
    parts = urlsplit(endpoint)
    client: ClientConfig = {**CLIENT, "allow_http": parts.scheme == "http"}
    if {parts.scheme, "all"} & getproxies().keys():
        return client
    return {**client, "proxy_url": NO_PROXY_AT_ALL, "proxy_excludes": ",".join([parts.hostname or "", *asked])}


def explain_refusal(error: Exception) -> str:
    """Return the reason of an object store's error, without its address, our paths, and anything the store sent."""
    found = REFUSAL.search(str(error).partition("\n")[0])
    return next(filter(None, found.groups())) if found else type(error).__name__

"""Uses an S3 server as everything that reads and stores does: `scripts/s3_check`.

The tests have a server of their own, which fails on demand; this shows that one that is not ours understands the same
requests: blobs that are stored once, listings in pages, ranges of archives, and deletion.
"""

import argparse
import io
import os
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import obstore
from obstore.exceptions import AlreadyExistsError
from obstore.store import ObjectStore, from_url

from producer.sources.expansion import Sources
from storage.blobs import CLIENT, Blobs
from storage.bucket_stores import open_from_bucket
from storage.settings import read_settings
from storage.submission import ListedObject

HOST = "127.0.0.1"
BUCKET = "s3://starlight-check"
BLOBS = f"{BUCKET}/blobs"
# More than a page of a listing has.
OBJECTS = 1500
MEMBERS = 20
MEMBER_BYTES = 1000
START_S = 30.0
LOOK_EVERY_S = 0.1


@contextmanager
def run_server(program: str) -> Iterator[str]:
    """Run the server within the block and yield its URL; raises SystemExit if it does not start."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    with subprocess.Popen([program, "-H", HOST, "-p", str(port)], stderr=subprocess.DEVNULL) as server:
        try:
            await_port(port)
            yield f"http://{HOST}:{port}"
        finally:
            server.terminate()


def await_port(port: int) -> None:
    """Wait until somebody listens; raises SystemExit."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection((HOST, port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"s3_check: the server does not listen within {START_S:.0f} s")
            time.sleep(LOOK_EVERY_S)
        else:
            return


def use_server(url: str) -> None:
    """Make all clients of this process use the server, and create the bucket."""
    os.environ |= {
        "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }  # fmt: skip
    bucket = urllib.request.Request(f"{url}/{BUCKET.removeprefix('s3://')}", method="PUT")  # noqa: S310 - our own URL
    urllib.request.urlopen(bucket).close()  # noqa: S310


def read(uri: str) -> bytes:
    """Return the bytes of a reference."""
    return b"".join(open_from_bucket(uri).pieces)


def expand(blobs: Blobs, uri: str) -> list[str]:
    """Return the references that a command makes of this argument."""
    found = Sources(blobs, read_settings()).from_arguments([uri], io.BytesIO())
    return [each.uri if isinstance(each, ListedObject) else each for each in found]


def check_blobs(blobs: Blobs, bucket: ObjectStore) -> None:
    """Blobs are stored once, read and deleted."""
    digest, twin = blobs.put_all([b"blob", b"blob"])
    assert digest == twin
    path = f"blobs/{digest[:2]}/{digest}"
    try:
        obstore.put(bucket, path, b"another", mode="create")
    except AlreadyExistsError:
        pass
    else:
        raise AssertionError("an object was overwritten in spite of If-None-Match: *")
    assert blobs.get(digest, limit=100) == b"blob"
    blobs.delete_all([digest, "0" * 64])
    assert [page for page in obstore.list(bucket, "blobs") if page] == []


def check_listings(blobs: Blobs, bucket: ObjectStore) -> None:
    """All objects below a prefix are listed, and readable by the references."""
    for number in range(OBJECTS):
        obstore.put(bucket, f"pictures/ä {number:04}.png", str(number).encode())
    references = expand(blobs, f"{BUCKET}/pictures/")
    assert [int(read(each)) for each in (references[0], references[-1])] == [0, OBJECTS - 1]
    assert len(set(references)) == OBJECTS


def check_archives(blobs: Blobs, bucket: ObjectStore) -> None:
    """Members of an archive are references to ranges of it."""
    shard = io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        for number in range(MEMBERS):
            entry = tarfile.TarInfo(f"{number}.png")
            entry.size = MEMBER_BYTES
            archive.addfile(entry, io.BytesIO(bytes([number]) * MEMBER_BYTES))
    obstore.put(bucket, "shards/shard-000.tar", shard.getvalue())
    references = expand(blobs, f"{BUCKET}/shards/")
    assert [read(each) for each in references] == [bytes([number]) * MEMBER_BYTES for number in range(MEMBERS)]


CHECKS: tuple[Callable[[Blobs, ObjectStore], None], ...] = (check_blobs, check_listings, check_archives)


def main() -> None:
    """Run all checks; a failing one raises AssertionError."""
    parser = argparse.ArgumentParser(prog="scripts/s3_check")
    parser.add_argument("program", help="Moto's server")
    options = parser.parse_args()
    with run_server(options.program) as url:
        use_server(url)
        blobs, bucket = Blobs(BLOBS), from_url(BUCKET, client_options=CLIENT)
        for check in CHECKS:
            check(blobs, bucket)
            print(f"s3_check: {(check.__doc__ or '').rstrip('.')}", flush=True)


if __name__ == "__main__":
    main()

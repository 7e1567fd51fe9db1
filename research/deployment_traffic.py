"""`python -m research.deployment_traffic URL`: sends requests while a version is replaced, and counts failures.

The API key is in STARLIGHT_KEY. Requests are sent until standard input ends; then every accepted image must get its
verdict. The result is printed as one JSON object. Requests are never retried: each failure is one that a customer
would see. It uses the standard library only, because the container host has nothing else.
"""

import http.client
import json
import os
import random
import struct
import sys
import threading
import time
import zlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_S = 60.0
PAUSE_S = 0.1
SHOWN_FAILURES = 5
# How long to wait for the last verdicts.
PATIENCE_S = 120.0


@dataclass(slots=True)
class Seen:
    """Counts of all threads so far."""

    requests: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Customer:
    """Sends requests to an API with a key, over a new connection each or over one that is kept open."""

    def __init__(self, url: str, key: str, seen: Seen) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._seen = seen

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str | None = None, *, keep: bool = False
    ) -> bytes | None:
        """Send one request and return the response body; any status but 2xx counts as a failure and returns None."""
        begun_at = time.monotonic()
        failure, answer = None, b""
        try:
            headers = self._headers | ({"Content-Type": kind} if kind else {})
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
            if response.status // 100 != 2:
                failure = f"{response.status} {answer[:200].decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            failure = repr(error)
        if failure or not keep:
            self._connection.close()
        with self._seen.lock:
            self._seen.requests += 1
            self._seen.slowest_s = max(self._seen.slowest_s, time.monotonic() - begun_at)
            if failure:
                self._seen.failures.append(f"{time.strftime('%H:%M:%S')} {method} {path}: {failure}")
        return None if failure else answer


def draw_png(rng: random.Random) -> bytes:
    """Return a PNG of 32 by 32 random grey values."""
    rows = b"".join(b"\0" + rng.randbytes(32) for _ in range(32))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def pack_form(png: bytes) -> tuple[bytes, str]:
    """Return a form with one image, and the form's media type."""
    boundary = "0d5c2e7f"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="one.png"\r\n\r\n'
    return head.encode() + png + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def keep_reading(customer: Customer, over: threading.Event, *, keep: bool) -> None:
    """Request the newest jobs until `over` is set."""
    while not over.wait(PAUSE_S):
        customer.ask("GET", "/v1/jobs?limit=5", keep=keep)


def keep_submitting(customer: Customer, seen: Seen, over: threading.Event) -> None:
    """Submit one image at a time until `over` is set."""
    rng = random.Random(1)  # noqa: S311 - pixels
    while not over.wait(2 * PAUSE_S):
        answer = customer.ask("POST", "/v1/jobs", *pack_form(draw_png(rng)))
        if answer is not None:
            seen.jobs.append(json.loads(answer)["id"])


def count_judged(customer: Customer, jobs: list[str]) -> int:
    """Return how many of these one-image jobs get a verdict in time that is not an error."""
    deadline, judged = time.monotonic() + PATIENCE_S, 0
    for job in jobs:
        while True:
            read = json.loads(customer.ask("GET", f"/v1/jobs/{job}", keep=True) or "{}")
            if read.get("state") in ("done", "cancelled") or time.monotonic() > deadline:
                break
            time.sleep(PAUSE_S)
        judged += read.get("clean", 0) + read.get("stego", 0)
    return judged


def main() -> None:
    """Send requests until standard input ends, and print the result."""
    url, key = sys.argv[1], os.environ["STARLIGHT_KEY"]
    seen, over = Seen(), threading.Event()
    threads = [
        threading.Thread(target=keep_reading, args=(Customer(url, key, seen), over), kwargs={"keep": False}),
        threading.Thread(target=keep_reading, args=(Customer(url, key, seen), over), kwargs={"keep": True}),
        threading.Thread(target=keep_submitting, args=(Customer(url, key, seen), seen, over)),
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()
    judged = count_judged(Customer(url, key, seen), seen.jobs)
    print(
        json.dumps(
            {
                "requests": seen.requests,
                "failed": len(seen.failures),
                "slowest_s": round(seen.slowest_s, 2),
                "submitted": len(seen.jobs),
                "judged": judged,
                "failures": seen.failures[:SHOWN_FAILURES],
            }
        )
    )
    sys.exit(bool(seen.failures) or judged != len(seen.jobs))


if __name__ == "__main__":
    main()

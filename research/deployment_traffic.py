"""`python -m research.deployment_traffic URL`: what customers do while a version is replaced, and what failed of it.

The key is in STARLIGHT_KEY. Requests go on until standard input ends; then every image that was taken has to get its
verdict, and one JSON object says what came of all. No request is sent twice: one that fails is one that a customer sees
fail. It needs nothing but Python's own library, as the host of containers has nothing else.
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
# For the last verdicts, once no more images come.
PATIENCE_S = 120.0


@dataclass(slots=True)
class Seen:
    """What the threads have seen so far."""

    requests: int = 0
    slowest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Customer:
    """Sends requests to an API with a key: each over a new connection, or all over one that is kept."""

    def __init__(self, url: str, key: str, seen: Seen) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._seen = seen

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str | None = None, *, keep: bool = False
    ) -> bytes | None:
        """Send one request and return the body of its answer; None, noted as a failure, for any but 2xx."""
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
    """Return a PNG of 32 by 32 grey values that nobody has seen before."""
    rows = b"".join(b"\0" + rng.randbytes(32) for _ in range(32))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def pack_form(png: bytes) -> tuple[bytes, str]:
    """Return a form with one image, and its media type."""
    boundary = "0d5c2e7f"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="one.png"\r\n\r\n'
    return head.encode() + png + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def read_on(customer: Customer, over: threading.Event, *, keep: bool) -> None:
    """Ask for the newest jobs until it is over."""
    while not over.wait(PAUSE_S):
        customer.ask("GET", "/v1/jobs?limit=5", keep=keep)


def submit_on(customer: Customer, seen: Seen, over: threading.Event) -> None:
    """Submit an image at a time until it is over."""
    rng = random.Random(1)  # noqa: S311 - pixels
    while not over.wait(2 * PAUSE_S):
        answer = customer.ask("POST", "/v1/jobs", *pack_form(draw_png(rng)))
        if answer is not None:
            seen.jobs.append(json.loads(answer)["id"])


def count_judged(customer: Customer, jobs: list[str]) -> int:
    """Return how many of these jobs of one image get their verdict in time, and it is no error."""
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
    """Send requests until standard input ends, and print what came of them."""
    url, key = sys.argv[1], os.environ["STARLIGHT_KEY"]
    seen, over = Seen(), threading.Event()
    threads = [
        threading.Thread(target=read_on, args=(Customer(url, key, seen), over), kwargs={"keep": False}),
        threading.Thread(target=read_on, args=(Customer(url, key, seen), over), kwargs={"keep": True}),
        threading.Thread(target=submit_on, args=(Customer(url, key, seen), seen, over)),
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

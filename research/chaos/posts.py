"""Sends images to the API one by one: each answered one must have one verdict, each other one at most one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO

import httpx
import numpy as np
from PIL import Image
from sqlalchemy import Engine, bindparam, text

SUBMITTER = "posts"
CLIENTS = 3
SIDE = 24
PAUSE_S = 0.05
# Wait after a failed request, while the API restarts.
RETRY_S = 0.5
TIMEOUT_S = 60.0
COUNT_UNFINISHED = text("SELECT count(*) FROM jobs WHERE submitter = :submitter AND finished_at IS NULL")
COUNT_VERDICTS = text("SELECT sha256, count(*) FROM verdicts WHERE sha256 IN :digests GROUP BY sha256").bindparams(
    bindparam("digests", expanding=True)
)


@dataclass(slots=True)
class Posts:
    """Digests of the images that were answered with 200, and of the others."""

    answered: list[bytes] = field(default_factory=list)
    unanswered: list[bytes] = field(default_factory=list)

    def account(self, engine: Engine) -> dict[str, int]:
        """Return the numbers of answered, lost, doubled, unanswered, and unanswered but judged images."""
        found = _count_verdicts(engine, [*self.answered, *self.unanswered])
        counts = [found.get(digest, 0) for digest in self.answered]
        others = [found.get(digest, 0) for digest in self.unanswered]
        return {
            "answered": len(counts),
            "lost": counts.count(0),
            "doubled": sum(count > 1 for count in (*counts, *others)),
            "unanswered": len(others),
            "unanswered_but_judged": sum(count == 1 for count in others),
        }


@contextmanager
def post_images(url: str, key: str, seed: int) -> Iterator[Posts]:
    """Send images, all different, until the block ends."""
    posts, over = Posts(), threading.Event()
    threads = [threading.Thread(target=_keep_posting, args=(url, key, [seed, n], posts, over)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield posts
    finally:
        over.set()
        for thread in threads:
            thread.join()


def count_unfinished(engine: Engine) -> int:
    """Return the number of their jobs that have not ended."""
    with engine.connect() as connection:
        return int(connection.execute(COUNT_UNFINISHED, {"submitter": SUBMITTER}).scalar_one())


def _keep_posting(url: str, key: str, seed: Sequence[int], posts: Posts, over: threading.Event) -> None:
    rng = np.random.default_rng(seed)
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S) as client:
        while not over.wait(PAUSE_S):
            buffer = BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(buffer, "PNG")
            data = buffer.getvalue()
            try:
                is_answered = client.post("/scan/image", files={"image": ("one.png", data)}).status_code == 200
            except httpx.HTTPError:
                is_answered = False
            (posts.answered if is_answered else posts.unanswered).append(sha256(data).digest())
            if not is_answered:
                over.wait(RETRY_S)


def _count_verdicts(engine: Engine, digests: Sequence[bytes]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    with engine.connect() as connection:
        for start in range(0, len(digests), 1000):
            rows = connection.execute(COUNT_VERDICTS, {"digests": digests[start : start + 1000]}).all()
            found |= {bytes(row[0]): int(row[1]) for row in rows}
    return found

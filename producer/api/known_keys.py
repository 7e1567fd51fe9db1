"""Keys that were found a moment ago: their next requests need no look into PostgreSQL, and few into Redis."""

import time
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from storage.keys import ApiKey

# How long a key counts as found, where nothing is heard of its being revoked, and how many keys at most.
KNOWN_S = 5.0
MOST = 1024
# Parts of what a key may ask in a minute: so many of its requests are counted at once, before they come.
SHARE = 500


@dataclass(slots=True)
class KnownKey:
    """A key, whether it counts as found, and how many of its requests to come are counted already.

    Both hold until a time on the clock of `time.monotonic`.
    """

    key: ApiKey
    is_found: bool
    counted: int
    until: float


class KnownKeys:
    """Keys in use; none is known while nobody listens for what is revoked. Used by many threads at once."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownKey] = {}
        self._is_listening = False
        # How often all were forgotten.
        self._times = 0
        self._lock = Lock()

    def admit(self, token: str) -> ApiKey | None:
        """Return the key for one more request, None where the database or Redis must be asked."""
        with self._lock:
            known = self._known.get(_hash(token))
            if known is None or not known.is_found or not known.counted or known.until < time.monotonic():
                return None
            known.counted -= 1
            return known.key

    def take_counted(self, token: str) -> int:
        """Return how many requests of a key that was looked up again are counted already, and admit them no more."""
        with self._lock:
            known = self._known.pop(_hash(token), None)
            return known.counted if known and known.until >= time.monotonic() else 0

    def begin(self) -> int | None:
        """Return what `remember` needs of a time before the key was looked up; None where no key is to be remembered.

        What is revoked meanwhile is not remembered.
        """
        with self._lock:
            return self._times if self._is_listening else None

    def remember(self, token: str, key: ApiKey, counted: int, begun: int) -> None:
        """Admit the key's next requests, of which so many are counted already."""
        with self._lock:
            if begun != self._times:
                return
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            earlier = self._known.pop(_hash(token), None)
            counted += earlier.counted if earlier else 0
            self._known[_hash(token)] = KnownKey(key, True, counted, time.monotonic() + KNOWN_S)

    def forget_all(self, *, is_listening: bool) -> None:
        """Look all keys up again: one was revoked, or might have been unheard."""
        with self._lock:
            for known in self._known.values():
                known.is_found = False
            self._times += 1
            self._is_listening = is_listening


def count_at_once(limit_per_minute: int) -> int:
    """Return how many requests of a key are counted at once."""
    return max(1, limit_per_minute // SHARE)


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

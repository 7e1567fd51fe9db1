"""A cache of keys, so that most requests need neither PostgreSQL for the key nor Redis for its rate limit."""

import time
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from storage.keys import ApiKey

# Lifetime of an entry, unless a key is revoked before, and maximum number of entries.
KNOWN_S = 5.0
MOST = 1024
# A key's rate limit is divided by this to get the number of requests that are counted in advance.
SHARE = 500


@dataclass(slots=True)
class KnownKey:
    """A key, whether it may be used without a look-up, and how many of its next requests are counted in advance.

    `until` is when the entry expires, by `time.monotonic`.
    """

    key: ApiKey
    is_found: bool
    counted: int
    until: float


class KnownKeys:
    """The cached keys. Nothing is cached while no thread listens for revocations. Thread-safe."""

    def __init__(self) -> None:
        self._known: dict[bytes, KnownKey] = {}
        self._is_listening = False
        # How often `forget_all` was called.
        self._times = 0
        self._lock = Lock()

    def admit(self, token: str) -> ApiKey | None:
        """Return the key for one more request, or None if PostgreSQL or Redis must be queried."""
        with self._lock:
            known = self._known.get(_hash(token))
            if known is None or not known.is_found or not known.counted or known.until < time.monotonic():
                return None
            known.counted -= 1
            return known.key

    def take_counted(self, token: str) -> int:
        """Remove a key's entry, and return how many of its requests are counted in advance."""
        with self._lock:
            known = self._known.pop(_hash(token), None)
            return known.counted if known and known.until >= time.monotonic() else 0

    def begin(self) -> int | None:
        """Return the argument `begun` of `remember`, or None if nothing is cached.

        To be called before the key is looked up: a key that is revoked in between is then not remembered.
        """
        with self._lock:
            return self._times if self._is_listening else None

    def remember(self, token: str, key: ApiKey, counted: int, begun: int) -> None:
        """Cache a key, of which `counted` further requests are counted in advance."""
        with self._lock:
            if begun != self._times:
                return
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            earlier = self._known.pop(_hash(token), None)
            counted += earlier.counted if earlier else 0
            self._known[_hash(token)] = KnownKey(key, True, counted, time.monotonic() + KNOWN_S)

    def forget_all(self, *, is_listening: bool) -> None:
        """Have all keys looked up again, since one was revoked or a revocation may have been missed."""
        with self._lock:
            for known in self._known.values():
                known.is_found = False
            self._times += 1
            self._is_listening = is_listening


def count_at_once(limit_per_minute: int) -> int:
    """Return how many requests of a key are counted together."""
    return max(1, limit_per_minute // SHARE)


def _hash(token: str) -> bytes:
    return sha256(token.encode("utf-8", "surrogatepass")).digest()

"""How even bytes are: what is encrypted or packed looks like chance."""

from typing import Final

import numpy as np

# Of the most that so many bytes can have, the entropy from which on they are as even as chance makes them.
_RANDOM_SHARE: Final = 0.88
_MIN_RANDOM: Final = 64
_ENTROPY_BYTES: Final = 2**20


def measure_entropy(data: bytes) -> float:
    """Return the entropy of the first bytes, in bits a byte; 0 of none."""
    if not data:
        return 0.0
    counts = np.bincount(np.frombuffer(data[:_ENTROPY_BYTES], np.uint8))
    shares = counts[counts > 0] / min(len(data), _ENTROPY_BYTES)
    return round(abs(float(np.sum(shares * np.log2(shares)))), 2)


def looks_random(size: int, entropy: float) -> bool:
    """Whether so many bytes of this entropy are as even as ciphertext and compressed data are."""
    return size >= _MIN_RANDOM and entropy >= _RANDOM_SHARE * min(8.0, float(np.log2(size)))

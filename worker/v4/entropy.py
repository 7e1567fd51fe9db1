"""The entropy of bytes: ciphertext and compressed data look random."""

from typing import Final

import numpy as np

# Bytes with at least this share of the maximum entropy for their number look random.
_RANDOM_SHARE: Final = 0.88
_MIN_RANDOM: Final = 64
_ENTROPY_BYTES: Final = 2**20


def measure_entropy(data: bytes) -> float:
    """Return the entropy of the first `_ENTROPY_BYTES` bytes, in bits a byte; 0 for no bytes."""
    if not data:
        return 0.0
    counts = np.bincount(np.frombuffer(data[:_ENTROPY_BYTES], np.uint8))
    shares = counts[counts > 0] / min(len(data), _ENTROPY_BYTES)
    return round(abs(float(np.sum(shares * np.log2(shares)))), 2)


def looks_random(size: int, entropy: float) -> bool:
    """Whether `size` bytes of this entropy look like ciphertext or compressed data."""
    return size >= _MIN_RANDOM and entropy >= _RANDOM_SHARE * min(8.0, float(np.log2(size)))

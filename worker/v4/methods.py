"""Names of the embedding methods and bit orders. Their positions are class ids and are locked."""

from typing import Final

METHODS: Final = ("alpha", "palette", "lsb.rgb", "exif", "raw")
BIT_ORDERS: Final = ("lsb-first", "msb-first", "none")

ALPHA_PREFIX: Final = b"AI42"
"""What every `alpha` payload begins with."""

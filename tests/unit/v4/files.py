"""Image files for the tests of V4, made by Pillow."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image


def noise(mode: str, width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    """Return random samples; a P image gets a random table of 256 colours."""
    rng = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (height, width, channels) if channels > 1 else (height, width)
    samples = rng.integers(0, 256, shape, dtype=np.uint8)
    if mode == "P":
        image = Image.fromarray(samples, "L").copy()
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette(rng.bytes(768), "RGB")
        return image
    return Image.frombytes(mode, (width, height), samples.tobytes())


def encoded(image: Image.Image, container: str, **options: Any) -> bytes:
    """Return the image as a file of a Pillow format."""
    buffer = BytesIO()
    image.save(buffer, container, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """Return the first frame in its native mode, loaded."""
    image = Image.open(BytesIO(data))
    image.load()
    return image

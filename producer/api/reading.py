"""Reading what is in images while the caller waits: few at once, in decoding processes that requests share."""

import asyncio
from typing import Annotated, Final

from fastapi import Depends, Request

from worker.image_reading import ImageReader

READERS: Final = 2
"""Images that are read at once."""

TURNS: Final = asyncio.Semaphore(READERS)
"""Held by who reads an image. Others wait for it, and take neither a thread nor the bytes of an image meanwhile."""


def get_reading(request: Request) -> ImageReader:
    """Return what requests of this process share."""
    reading: ImageReader = request.app.state.reading
    return reading


ImageReading = Annotated[ImageReader, Depends(get_reading)]

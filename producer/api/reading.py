"""Reading what is in images while the caller waits: few at once, in decoding processes that requests share."""

from typing import Annotated

from fastapi import Depends, Request

from worker.image_reading import ImageReader


async def get_reading(request: Request) -> ImageReader:
    """Return what requests of this process share."""
    reading: ImageReader = request.app.state.reading
    return reading


ImageReading = Annotated[ImageReader, Depends(get_reading)]

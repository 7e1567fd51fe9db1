"""The dependency that gives routes the image reader of this process."""

from typing import Annotated

from fastapi import Depends, Request

from worker.image_reading import ImageReader


async def get_reading(request: Request) -> ImageReader:
    """Return the image reader of this process."""
    reading: ImageReader = request.app.state.reading
    return reading


ImageReading = Annotated[ImageReader, Depends(get_reading)]

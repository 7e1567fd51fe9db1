"""The description of a task that Flower shows in place of its arguments: chunk, job and number of images."""

import re
import uuid

UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
DESCRIPTION = re.compile(rf"chunk ({UUID}) of job {UUID}, [0-9]{{1,5}} images?(?:, and [0-9]{{1,2}} more like it)?")


def describe_task(chunk_id: uuid.UUID, job_id: uuid.UUID, images: int, more: int = 0) -> str:
    """Return the description of a task that scans a chunk, and `more` other lone chunks."""
    description = f"chunk {chunk_id} of job {job_id}, {images} image{'' if images == 1 else 's'}"
    return f"{description}, and {more} more like it" if more else description


def check_description(found: str, chunk_id: uuid.UUID) -> str:
    """Return the description in a message, or one with only the chunk id if it does not describe this chunk."""
    match = DESCRIPTION.fullmatch(found)
    return found if match and match[1] == str(chunk_id) else f"chunk {chunk_id}"

"""Jobs full of references that hang, against a whole stack: what others submit is scanned as if they were not there."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from starlight_vocabulary.words import JobState
from storage.blobs import Blobs
from storage.jobs import cancel_job, submit_job
from storage.settings import Settings
from tests.kit.changes import wait_for_change
from tests.kit.image_server import ImageServer, serve_images
from tests.kit.pictures import encode_pattern
from tests.kit.rows import read_job
from tests.kit.stack import RunningStack, start_stack, stop_stack
from tests.kit.tardy_server import TardyServer

FETCH_THREADS = 8
# More chunks than a worker has threads, and than there are messages for it.
HANGING = 256 * 40


@pytest.fixture
def images() -> Iterator[ImageServer]:
    with serve_images() as server:
        server.images["/image.png"] = encode_pattern("PNG")
        yield server


@pytest.fixture
def stack(data_dir: Path) -> Iterator[RunningStack]:
    """One worker, which waits for servers for longer than any test."""
    settings = {
        "data_dir": data_dir,
        "fetch_schemes": '["http"]',
        "fetch_allowed_networks": '["127.0.0.0/8"]',
        "fetch_threads": FETCH_THREADS,
        "fetch_timeout_s": 3600,
    }
    running = start_stack(settings, "cpu0")
    yield running
    stop_stack(running)


def await_end(stack: RunningStack, job_id: uuid.UUID) -> tuple[JobState, int]:
    """Return state and number of clean images of a job once it has ended."""
    wait_for_change(stack.engine, "jobs", lambda: read_job(stack.engine, job_id).finished_at is not None)
    job = read_job(stack.engine, job_id)
    return job.state, job.clean


def test_a_job_that_hangs_keeps_no_other_submitters_waiting(
    stack: RunningStack, tardy: TardyServer, images: ImageServer, data_dir: Path
) -> None:
    hanging = submit_job(stack.engine, HANGING * [tardy.refer_to("silent")], submitter="mallory").job_id
    tardy.await_asked(FETCH_THREADS // 2)
    digest = Blobs(Settings(data_dir=data_dir).blobs()).put(images.images["/image.png"])

    for references in ([f"blob://{digest}/image.png"], [images.refer_to("/image.png")], 1000 * [f"blob://{digest}/x"]):
        job_id = submit_job(stack.engine, references, submitter="ann").job_id
        assert await_end(stack, job_id) == (JobState.DONE, len(references))
    assert read_job(stack.engine, hanging).finished == 0

    cancel_job(stack.engine, hanging)
    tardy.await_left(FETCH_THREADS // 2)

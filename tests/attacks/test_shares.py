"""Jobs full of references that hang, with a dispatcher and a worker: other submitters' images are still scanned."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from starlight_vocabulary.words import JobState
from storage.blobs import Blobs
from storage.jobs import cancel_job
from storage.settings import Settings
from storage.submission import submit_job
from tests.kit.changes import wait_for_change
from tests.kit.image_server import ImageServer, serve_images
from tests.kit.pictures import encode_pattern
from tests.kit.programs import run_program
from tests.kit.rows import read_job
from tests.kit.tardy_server import TardyServer

FETCH_THREADS = 8
# More chunks than a worker has threads, and more than the dispatcher keeps in Redis.
HANGING = 256 * 40


@pytest.fixture
def images() -> Iterator[ImageServer]:
    with serve_images() as server:
        server.images["/image.png"] = encode_pattern("PNG")
        yield server


@pytest.fixture
def data_folder(engine: Engine, database_url: str, redis_url: str, data_dir: Path) -> Iterator[Path]:
    """The data folder of a running dispatcher and a worker whose timeout of fetches is longer than any test."""
    settings = {
        "database_url": database_url,
        "redis_url": redis_url,
        "data_dir": data_dir,
        "fetch_schemes": '["http"]',
        "fetch_allowed_networks": '["127.0.0.0/8"]',
        "fetch_threads": FETCH_THREADS,
        "fetch_timeout_s": 3600,
    }
    with (
        run_program("-m", "producer.cli", "dispatcher", settings=settings, until=None),
        run_program("-m", "worker", "cpu0", settings=settings, until=" ready"),
    ):
        yield data_dir


def await_end(engine: Engine, job_id: uuid.UUID) -> tuple[JobState, int]:
    """Return the state and the number of clean images of a job when it has ended."""
    wait_for_change(engine, "jobs", lambda: read_job(engine, job_id).finished_at is not None)
    job = read_job(engine, job_id)
    return job.state, job.clean


def test_a_job_that_hangs_keeps_no_other_submitters_waiting(
    engine: Engine, tardy: TardyServer, images: ImageServer, data_folder: Path
) -> None:
    hanging = submit_job(engine, HANGING * [tardy.refer_to("silent")], submitter="mallory").job_id
    tardy.await_asked(FETCH_THREADS // 2)
    digest = Blobs(Settings(data_dir=data_folder).blobs()).put(images.images["/image.png"])

    for references in ([f"blob://{digest}/image.png"], [images.refer_to("/image.png")], 1000 * [f"blob://{digest}/x"]):
        job_id = submit_job(engine, references, submitter="ann").job_id
        assert await_end(engine, job_id) == (JobState.DONE, len(references))
    assert read_job(engine, hanging).finished == 0

    cancel_job(engine, hanging)
    tardy.await_left(FETCH_THREADS // 2)

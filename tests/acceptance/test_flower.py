"""Flower under a path, by its HTTP API and in a real Chromium: it shows job, worker and result of each chunk."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from producer.following import Follower
from storage.submission import submit_job
from tests.kit.command import TIMEOUT_S
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack

COLUMNS = ("args", "state", "result", "worker", "received", "started", "runtime", "uuid")
WORKERS = {"cpu0", "cpu1"}


@pytest.fixture(scope="module")
def job(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that has ended: one chunk with three clean images and eight files that are not images."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        (folder / f"clean{number}.png").write_bytes(encode(draw_grained()))
    for number in range(8):
        (folder / f"none{number}.txt").write_text("none")
    references = [path.as_uri() for path in sorted(folder.iterdir())]
    job_id = submit_job(stack.engine, references, submitter="tester").job_id
    for _ in Follower(stack.engine, job_id).follow():
        pass
    return str(job_id)


@pytest.fixture
def flower(stack: RunningStack) -> Iterator[httpx.Client]:
    """A client that sends the password."""
    address, name, password = stack.find_flower()
    with httpx.Client(base_url=address, auth=(name, password), timeout=TIMEOUT_S) as client:
        yield client


def list_tasks(flower: httpx.Client) -> list[dict[str, Any]]:
    """Return the newest tasks, requested like the page does."""
    parameters: dict[str, str | int] = {
        "draw": 1, "start": 0, "length": 1000, "search[value]": "", "order[0][column]": 4, "order[0][dir]": "desc",
        **{f"columns[{place}][data]": name for place, name in enumerate(COLUMNS)},
    }  # fmt: skip
    tasks: list[dict[str, Any]] = flower.get("/tasks/datatable", params=parameters).raise_for_status().json()["data"]
    return tasks


def wait_for_task(flower: httpx.Client, said: str) -> dict[str, Any]:
    """Return the task whose arguments contain this, as soon as Flower shows its success: events come after verdicts."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for task in list_tasks(flower):
            # Null if the event of the task's start came before that of the task itself.
            if said in (task["args"] or "") and task["state"] == "SUCCESS":
                return task
    raise AssertionError(f"Flower does not show: {said}")


def test_flower_shows_the_chunk_its_job_its_size_its_worker_and_what_became_of_it(
    flower: httpx.Client, job: str
) -> None:
    task = wait_for_task(flower, f"of job {job}, 11 images")

    assert task["result"] == "'11 images: 8 error'"
    assert task["worker"].partition("@")[0] in WORKERS
    assert float(task["runtime"]) > 0
    workers = flower.get("/workers", params={"json": "1"}).raise_for_status().json()["data"]
    assert {worker["hostname"].partition("@")[0] for worker in workers if worker["status"]} == WORKERS


def test_flower_asks_for_the_password_that_was_made_for_it(stack: RunningStack, flower: httpx.Client) -> None:
    address, name, password = stack.find_flower()

    assert len(password) >= 32
    for credentials in (None, (name, "starlight"), ("", password)):
        assert httpx.get(f"{address}/api/tasks", auth=credentials, timeout=TIMEOUT_S).status_code == 401
    assert httpx.get(httpx.URL(address).join("/tasks"), timeout=TIMEOUT_S).status_code == 404


def test_a_person_signs_in_and_sees_the_chunk_and_the_workers(stack: RunningStack, job: str, tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    address, name, password = stack.find_flower()
    faults: list[str] = []
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(
            http_credentials={"username": name, "password": password}, viewport={"width": 1600, "height": 900}
        )
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{address}/tasks")
        row = page.locator("#tasks-table tbody tr", has_text=f"of job {job}, 11 images")
        row.wait_for()
        shown = row.inner_text()
        page.goto(f"{address}/workers")
        for device in WORKERS:
            page.locator("#workers-table tbody tr", has_text=f"{device}@").wait_for()
        browser.close()
    assert "11 images: 8 error" in shown
    assert any(f"{device}@" in shown for device in WORKERS)
    assert faults == []

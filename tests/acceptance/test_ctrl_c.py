"""A stack that is ended while work waits: its log, that no process is left, and that a second stack continues."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
import redis

from tests.kit.command import TIMEOUT_S, run_starlight
from tests.kit.folders import make_temporary_folder
from tests.kit.inputs import make_stego_files
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import RunningStack, start_stack, stop_stack

PROGRAMS = {"up", "dispatcher", "worker", "api", "exporter", "flower"}
COPIES = 300


@dataclass(frozen=True)
class EndedStack:
    """A stack after Ctrl-C, its exit code, a finished job, one that it left unfinished, and the id of a request."""

    stack: RunningStack
    status: int
    scanned: str
    left: str
    refused: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndedStack]:
    """A stack that logs JSON and was ended in the middle of a job; its data folder still exists."""
    images = tmp_path_factory.mktemp("images")
    (images / "clean.png").write_bytes(encode(draw_grained()))
    (images / "stego.jpg").write_bytes(make_stego_files()["raw.jpg"])
    (images / "none.txt").write_text("none")
    references = os.fsencode("\n".join(path.as_uri() for path in images.iterdir()) + "\n") * COPIES
    with make_temporary_folder() as folder:
        stack = start_stack({"data_dir": folder, "chunk_size": 16, "log": "json"}, "cpu0")
        scanned = run_starlight("submit", images, settings=stack.settings).stdout.strip()
        assert run_starlight("job", scanned, "--watch", settings=stack.settings).returncode == 0
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(stack.addresses["API"].replace("/docs", "/v1/jobs"), timeout=TIMEOUT_S)
        left = run_starlight("submit", "-", settings=stack.settings, stdin=references).stdout.strip()
        status = stop_stack(stack)
        yield EndedStack(stack, status, scanned, left, refused.value.headers["x-request-id"])


def test_one_ctrl_c_ends_everything(ended: EndedStack) -> None:
    assert ended.status == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(ended.stack.addresses["PostgreSQL"])
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(ended.stack.addresses["Redis"]).ping()


def test_every_line_of_a_stack_is_json_and_a_chunk_has_one(ended: EndedStack) -> None:
    # Libraries must not print anything else there.
    assert set(ended.stack.addresses) == {"PostgreSQL", "Redis", "API", "Flower", "Metrics", "Running", "ready"}

    ended.stack.log.wait_for_end()
    told = [json.loads(line) for line in ended.stack.log.list_lines()]
    assert {each["program"] for each in told} <= PROGRAMS
    chunks = [each for each in told if each["event"] == "a chunk is scanned"]
    (chunk,) = [each for each in chunks if each["job"] == ended.scanned]
    assert chunk["device"] == "cpu0"
    assert [chunk[name] for name in ("images", "clean", "stego", "error", "put_off")] == [3, 1, 1, 1, 0]
    assert chunk["seconds"] > 0
    (refusal,) = [each for each in told if each["event"].startswith("a request is refused")]
    assert refusal["request"] == ended.refused


def test_a_second_stack_goes_on_with_the_work_and_down_ends_it(ended: EndedStack) -> None:
    settings = {"data_dir": ended.stack.settings["data_dir"]}
    second = start_stack(settings, "cpu0")

    watched = run_starlight("job", ended.left, "--watch", settings=settings)
    assert watched.returncode == 0
    assert f"{3 * COPIES} images: {COPIES} clean, {COPIES} stego, {COPIES} error" in watched.stdout
    assert run_starlight("audit", "--all", settings=settings).returncode == 0
    assert run_starlight("down", settings=settings).stdout == "stopped\n"
    assert second.process.wait(TIMEOUT_S) == 0
    assert run_starlight("down", settings=settings).stdout == "nothing is running here\n"
    second.engine.dispose()

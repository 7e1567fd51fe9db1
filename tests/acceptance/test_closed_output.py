"""Commands whose output nobody reads any more end with a code of their own, and say nothing."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.kit.command import STARLIGHT, TIMEOUT_S, make_environment
from tests.kit.pictures import encode_pattern
from tests.kit.stack import RunningStack


@pytest.mark.parametrize("unbuffered", ["1", ""])
@pytest.mark.parametrize(
    "arguments",
    [
        ["operations"],
        ["keys", "list"],
        ["model", "list"],
        ["top", "--once"],
        ["doctor", "--no-scan"],
        ["inspect", "picture.png"],
        ["verdicts"],
    ],
)
def test_a_reader_that_is_gone_is_not_taken_for_a_find(
    stack: RunningStack, tmp_path: Path, arguments: list[str], unbuffered: str
) -> None:
    (tmp_path / "picture.png").write_bytes(encode_pattern("PNG"))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = subprocess.run(
            [*STARLIGHT, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**make_environment(stack.settings), "PYTHONUNBUFFERED": unbuffered},
            cwd=tmp_path,
            timeout=TIMEOUT_S,
            check=False,
        )
    finally:
        os.close(writing)

    assert (run.returncode, run.stderr) == (141, b"")


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_full_disk_is_one_line(stack: RunningStack, unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            [*STARLIGHT, "jobs"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**make_environment(stack.settings), "PYTHONUNBUFFERED": unbuffered},
            timeout=TIMEOUT_S,
            check=False,
        )

    assert (run.returncode, run.stderr) == (2, b"starlight: No space left on device\n")

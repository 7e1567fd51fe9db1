"""Runs the real `starlight` command."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kit.warm_programs import start_program

STARLIGHT = [sys.executable, "-m", "producer.cli"]
TIMEOUT_S = 300


def make_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings, named as in `Settings`; the default log style is text."""
    return {
        **os.environ,
        "STARLIGHT_LOG": "text",
        **{f"STARLIGHT_{name.upper()}": str(value) for name, value in settings.items()},
    }


def run_starlight(
    *arguments: str | bytes | Path, settings: Mapping[str, object], stdin: bytes = b""
) -> "subprocess.CompletedProcess[str]":
    """Run the command in another process until it ends."""
    with tempfile.TemporaryDirectory() as name:
        streams = (Path(name) / "stdin", Path(name) / "stdout", Path(name) / "stderr")
        streams[0].write_bytes(stdin)
        words = [*STARLIGHT[1:], *(os.fsdecode(argument) for argument in arguments)]
        process = start_program(words, make_environment(settings), streams)
        process.join(TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(words, TIMEOUT_S)
        out, err = (stream.read_bytes().decode("utf-8", "surrogateescape") for stream in streams[1:])
        return subprocess.CompletedProcess(words, process.exitcode, out, err)


def read_records(run: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """Return the NDJSON that the command printed."""
    return [json.loads(line) for line in run.stdout.splitlines()]

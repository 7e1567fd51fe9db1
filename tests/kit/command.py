"""Running the real `starlight` command."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STARLIGHT = [sys.executable, "-m", "producer.cli"]
TIMEOUT_S = 120


def make_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings, named as in `Settings`; logs are text unless they say."""
    return {
        **os.environ,
        "STARLIGHT_LOG": "text",
        **{f"STARLIGHT_{name.upper()}": str(value) for name, value in settings.items()},
    }


def run_starlight(
    *arguments: str | bytes | Path, settings: Mapping[str, object], stdin: bytes = b""
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    return subprocess.run(
        [*STARLIGHT, *arguments],
        input=stdin.decode("utf-8", "surrogateescape"),
        env=make_environment(settings),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=TIMEOUT_S,
        check=False,
    )


def read_records(run: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    """Return the NDJSON that the command printed."""
    return [json.loads(line) for line in run.stdout.splitlines()]

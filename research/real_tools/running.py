"""Runs a tool on a cover, in an empty folder and without a network where the host allows that."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from research.real_tools.catalogue import Way
from research.real_tools.covers import COVER_KINDS

KEY_WORDS: Final = "correct-horse-battery-7"
"""The password that tools are given."""
_SECONDS: Final = 60
_NAMES: Final = ("cover", "stego", "secret", "text", "password")
_PYTHON: Final = f"import os\n{', '.join(_NAMES)} = (os.environ[name] for name in {_NAMES})\n"
_NODE: Final = f"const fs = require('fs'); const {{ {', '.join(_NAMES)} }} = process.env;\n"


class FailedError(RuntimeError):
    """A tool that wrote no stego image; the message is the last line that it printed."""


def run_way(way: Way, cover_kind: str, cover: bytes, message: str, environment: Mapping[str, str]) -> bytes:
    """Return the file in which the tool hid the message. Raises `FailedError`.

    The tool gets nothing of this process's environment except what `environment` names.
    """
    suffix = COVER_KINDS[cover_kind].suffix
    with tempfile.TemporaryDirectory(prefix="real-tools-") as name:
        folder = Path(name)
        (folder / f"cover{suffix}").write_bytes(cover)
        (folder / "secret.txt").write_bytes(message.encode())
        variables = {
            "HOME": name, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "NODE_NO_WARNINGS": "1",
            "cover": f"cover{suffix}", "stego": f"stego{suffix}", "secret": "secret.txt", "text": message,
            "password": KEY_WORDS, **environment,
        }  # fmt: skip
        printed = _run([*_isolate(), *_make_command(way, variables["PATH"])], folder, variables)
        made = folder / f"stego{suffix}"
        if not made.is_file() or made.read_bytes() in (b"", cover):
            raise FailedError(printed or "nothing was written")
        return made.read_bytes()


def _make_command(way: Way, path: str) -> list[str]:
    if way.language == "shell":
        return ["sh", "-c", way.program]
    program = shutil.which("python" if way.language == "python" else "node", path=path)
    if program is None:
        raise FailedError(f"no {way.language} here")
    return [program, "-c", _PYTHON + way.program] if way.language == "python" else [program, "-e", _NODE + way.program]


@cache
def _isolate() -> tuple[str, ...]:
    """Return the command that runs another without a network; empty if this user may not."""
    for command in (("unshare", "--net"), ("unshare", "--net", "--map-root-user")):
        try:
            done = subprocess.run([*command, "true"], capture_output=True, check=False)
        except FileNotFoundError:
            break
        if done.returncode == 0:
            return command
    return ()


def _run(command: list[str], folder: Path, variables: Mapping[str, str]) -> str:
    """Run a command and return the last line that it printed, if possible about an error. Raises `FailedError`."""
    with subprocess.Popen(
        command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise FailedError(f"it took longer than {_SECONDS} s") from None
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "")
    if process.returncode:
        raise FailedError(last or f"it ended with {process.returncode}")
    return last

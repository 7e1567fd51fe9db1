"""`starlight top` in a terminal, and drawn, on a running stack and by the API of another machine."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

from storage.draining import is_draining
from tests.kit.changes import wait_for_change
from tests.kit.command import STARLIGHT, make_environment, run_starlight
from tests.kit.stack import RunningStack
from tests.kit.threads import PATIENCE_S

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")


class Terminal:
    """A terminal: its contents, and its keyboard."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = ""

    def wait_for(self, text: str) -> None:
        """Return once this text is drawn, after the text of the previous call."""
        while text not in ESCAPES.sub("", self._seen):
            assert select.select([self._descriptor], [], [], PATIENCE_S)[0], (
                f"{text} is not drawn: {self._seen[-3000:]}"
            )
            self._seen += os.read(self._descriptor, 65536).decode(errors="replace")
        self._seen = ""

    def type(self, keys: bytes) -> None:
        """Press keys, all at once."""
        os.write(self._descriptor, keys)


@contextmanager
def open_terminal(settings: dict[str, object], *arguments: str) -> "Iterator[tuple[Terminal, subprocess.Popen[bytes]]]":
    """Run the command in a terminal of 120 columns and 40 lines."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {**make_environment(settings), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*STARLIGHT, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_keys_drain_a_worker_and_end_it(stack: RunningStack, settings: dict[str, object]) -> None:
    with open_terminal(settings, "top", "--interval", "0.2") as (terminal, process):
        terminal.wait_for("images/min, target 1,000")
        names = [f"cpu{number}@{os.uname().nodename}" for number in (0, 1)]
        terminal.type(b"\t\x1b[Bd")
        wait_for_change(stack.engine, "workers", lambda: is_draining(stack.engine, names[1]))
        terminal.wait_for("draining")
        terminal.type(b"d")
        wait_for_change(stack.engine, "workers", lambda: not is_draining(stack.engine, names[1]))
        assert not is_draining(stack.engine, names[0])
        terminal.type(b"q")

        assert process.wait(PATIENCE_S) == 0


def test_it_is_printed_once_without_a_terminal(settings: dict[str, object]) -> None:
    ended = run_starlight("top", settings=settings)

    assert ended.returncode == 0, ended.stderr
    assert "images/min, target 1,000" in ended.stdout
    assert f"cpu0@{os.uname().nodename}" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_it_is_drawn(settings: dict[str, object], tmp_path: Path) -> None:
    ended = run_starlight(
        "top", "--once", "--looks", "3", "--interval", "0.2", "--svg", tmp_path / "top.svg", settings=settings
    )

    assert ended.returncode == 0, ended.stderr
    drawn = "".join(ElementTree.parse(tmp_path / "top.svg").getroot().itertext()).replace("\xa0", " ")
    assert "images/min" in drawn
    assert "workers and devices" in drawn


def test_who_may_only_look_is_told_so_and_sees(stack: RunningStack, tmp_path: Path) -> None:
    parts = urlsplit(stack.addresses["API"])
    key = run_starlight("keys", "create", f"eve-{uuid.uuid4().hex}", settings=stack.settings).stdout.strip()
    server = f"{parts.scheme}://{parts.netloc}"

    with open_terminal({"data_dir": tmp_path, "server": server, "key": key}, "top") as (terminal, process):
        terminal.wait_for("claiming")
        terminal.type(b"P")
        terminal.wait_for("lacks the scope 'admin'")
        terminal.type(b"q")
        assert process.wait(PATIENCE_S) == 0

    assert "refuses: 401" in run_starlight("top", settings={"data_dir": tmp_path, "server": server, "key": "x"}).stderr

"""The stack: programs are started, restarted, and never left behind."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from producer import stack
from producer.stack import Program, Stack
from tests.kit.threads import GLANCE_S, PATIENCE_S

# Each program connects to the test, sends its name, and behaves as the name says; the connection ends with it.
HELLO = """
import os, signal, socket, sys
test = socket.create_connection(("127.0.0.1", int(os.environ["TEST_PORT"])))
def hello():
    test.sendall(b"%d\\n" % os.getpid())
"""
PROGRAMS = {
    "waiting": HELLO + "hello(); signal.pause()",
    "ending": HELLO + "hello(); print('last words', file=sys.stderr); sys.exit(3)",
    "stubborn": HELLO + "signal.signal(signal.SIGTERM, signal.SIG_IGN); hello()\nwhile True: signal.pause()",
    "patient": HELLO
    + """
signal.signal(signal.SIGTERM, lambda *_: test.sendall(b"T"))
def end(*_):
    test.sendall(b"I")
    sys.exit()
signal.signal(signal.SIGINT, end)
hello()
while True: signal.pause()
""",
    "session": HELLO + "test.sendall(b'%d\\n' % os.getsid(0)); signal.pause()",
}
PARENT = """
import os, signal
from producer.stack import Program, Stack
Stack([Program("child", ("-c", os.environ["CHILD"]))], {}).start()
signal.pause()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what ends with its parent does so on Linux")


class Connection:
    """A running program, known by its connection to the test."""

    def __init__(self, connected: socket.socket) -> None:
        self._connected = connected
        connected.settimeout(PATIENCE_S)
        self.number = int(connected.makefile("rb").readline())

    def hear(self) -> bytes:
        return self._connected.recv(1)

    def wait_for_end(self) -> None:
        """Return when the program has ended; the stack may not have noticed it yet."""
        assert self._connected.recv(1) == b""
        self._connected.close()
        with suppress(ProcessLookupError):
            ended = os.pidfd_open(self.number)
            assert select.select([ended], [], [], PATIENCE_S)[0]
            os.close(ended)


class Meeting:
    """The server to which programs of the test connect."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self.environment = {"TEST_PORT": str(listening.getsockname()[1])}

    def await_arrival(self) -> Connection:
        self._listening.settimeout(PATIENCE_S)
        return Connection(self._listening.accept()[0])

    def await_restart(self, watched: Stack) -> Connection:
        """Have the stack restart an ended program, and return the new one."""
        watched.watch()
        return self.await_arrival()

    def nobody_arrives(self, watched: Stack) -> bool:
        watched.watch()
        return not select.select([self._listening], [], [], GLANCE_S)[0]


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Meeting(listening)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restart ended programs without a pause."""
    monkeypatch.setattr(stack, "RESTART_LONGEST_S", 0.0)
    monkeypatch.setattr(stack, "RESTART_FIRST_S", 0.0)
    monkeypatch.setattr(stack, "SETTLED_S", 0.0)


@dataclass
class Clock:
    """The stack's clock in seconds, which only the test moves."""

    now: float = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    standing = Clock()
    monkeypatch.setattr(stack, "time", SimpleNamespace(monotonic=lambda: standing.now))
    return standing


def make_program(name: str) -> Program:
    return Program(name, ("-c", PROGRAMS[name]))


def test_programs_run_while_the_block_lasts(meeting: Meeting) -> None:
    with Stack([make_program("waiting"), make_program("waiting")], meeting.environment):
        running = [meeting.await_arrival(), meeting.await_arrival()]

    for each in running:
        each.wait_for_end()
        with pytest.raises(ProcessLookupError):
            os.kill(each.number, 0)


def test_programs_end_with_a_block_that_fails(meeting: Meeting) -> None:
    def fail() -> None:
        with Stack([make_program("waiting")], meeting.environment):
            running.append(meeting.await_arrival())
            raise ZeroDivisionError

    running: list[Connection] = []

    with pytest.raises(ZeroDivisionError):
        fail()

    running[0].wait_for_end()


@pytest.mark.usefixtures("at_once")
def test_a_program_that_ends_is_started_again_and_again(meeting: Meeting) -> None:
    with Stack([make_program("ending")], meeting.environment) as watched:
        first = meeting.await_arrival()
        first.wait_for_end()
        second = meeting.await_restart(watched)
        second.wait_for_end()
        third = meeting.await_restart(watched)
        third.wait_for_end()

    assert len({first.number, second.number, third.number}) == 3


@pytest.mark.usefixtures("at_once")
def test_a_program_that_is_killed_is_started_again_and_its_neighbours_are_left_alone(meeting: Meeting) -> None:
    with Stack([make_program("waiting"), make_program("waiting")], meeting.environment) as watched:
        victim, neighbour = meeting.await_arrival(), meeting.await_arrival()
        os.kill(victim.number, signal.SIGKILL)
        victim.wait_for_end()

        again = meeting.await_restart(watched)

        assert meeting.nobody_arrives(watched)
        os.kill(neighbour.number, 0)
    again.wait_for_end()
    neighbour.wait_for_end()


def test_a_program_that_keeps_ending_is_started_again_after_growing_pauses(meeting: Meeting, clock: Clock) -> None:
    with Stack([make_program("ending")], meeting.environment) as watched:
        for pause_s in (1, 2, 4, 8, 16, 30, 30):
            meeting.await_arrival().wait_for_end()
            watched.watch()
            clock.now += pause_s - 0.25
            assert meeting.nobody_arrives(watched)
            clock.now += 0.25
            watched.watch()
        meeting.await_arrival()


def test_a_program_that_ran_for_long_is_started_again_soon(meeting: Meeting, clock: Clock) -> None:
    with Stack([make_program("waiting")], meeting.environment) as watched:
        for ran_s, pause_s in ((0, 1), (0, 2), (61, 1)):
            running = meeting.await_arrival()
            clock.now += ran_s
            os.kill(running.number, signal.SIGKILL)
            running.wait_for_end()
            watched.watch()
            clock.now += pause_s
            watched.watch()
        meeting.await_arrival()


def test_a_stubborn_program_is_killed(meeting: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "STOP_GRACE_S", 0.1)

    with Stack([make_program("stubborn"), make_program("waiting")], meeting.environment):
        running = [meeting.await_arrival(), meeting.await_arrival()]

    for each in running:
        each.wait_for_end()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Make SIGINT interrupt, as on a terminal: shells start background processes with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_whoever_insists_has_programs_end_at_once_and_in_order(meeting: Meeting) -> None:
    impatient = Stack([make_program("patient")], meeting.environment)
    impatient.start()
    running = meeting.await_arrival()
    heard: list[bytes] = []

    def insist() -> None:
        heard.append(running.hear())
        os.kill(os.getpid(), signal.SIGINT)
        heard.append(running.hear())

    insisting = threading.Thread(target=insist)
    insisting.start()
    impatient.stop()

    insisting.join()
    assert heard == [b"T", b"I"]
    running.wait_for_end()


def test_stopping_twice_and_stopping_what_has_ended_is_no_error(meeting: Meeting) -> None:
    stopped = Stack([make_program("ending")], meeting.environment)
    stopped.start()
    meeting.await_arrival().wait_for_end()

    stopped.stop()
    stopped.stop()

    assert meeting.nobody_arrives(stopped)


def test_ctrl_c_reaches_the_parent_alone(meeting: Meeting) -> None:
    with Stack([make_program("session")], meeting.environment):
        session = meeting.await_arrival().number

        assert session != os.getsid(0)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_programs_end_with_their_parent_however_it_dies(meeting: Meeting, deadly: signal.Signals) -> None:
    environment = {**os.environ, **meeting.environment, "CHILD": PROGRAMS["waiting"]}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environment) as parent:
        child = meeting.await_arrival()

        parent.send_signal(deadly)
        parent.wait(PATIENCE_S)

    child.wait_for_end()


def test_output_goes_to_a_file_named_after_the_program(meeting: Meeting, tmp_path: Path) -> None:
    named = Program("worker cpu0", ("-c", PROGRAMS["ending"]))

    with Stack([named], meeting.environment, log_to=tmp_path / "new" / "logs"):
        meeting.await_arrival().wait_for_end()

    assert [path.name for path in (tmp_path / "new" / "logs").iterdir()] == ["worker-cpu0.log"]
    assert "last words" in (tmp_path / "new" / "logs" / "worker-cpu0.log").read_text()


@pytest.mark.usefixtures("at_once")
def test_what_an_ended_program_said_last_is_kept_when_it_is_started_again(meeting: Meeting, tmp_path: Path) -> None:
    with Stack([make_program("ending")], meeting.environment, log_to=tmp_path) as watched:
        meeting.await_arrival().wait_for_end()
        meeting.await_restart(watched).wait_for_end()

    assert (tmp_path / "ending.log").read_text().count("last words") == 2

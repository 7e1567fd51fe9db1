"""Background threads: starting, stopping and failing."""

import logging
import os
import signal
import threading

import pytest

from storage.background import BackgroundThread
from tests.kit.threads import PATIENCE_S


class Waiting(BackgroundThread):
    """A thread that waits until it is stopped."""

    def __init__(self) -> None:
        super().__init__("waiting")
        self.begun = threading.Event()
        self.ended = threading.Event()

    def run(self) -> None:
        self.begun.set()
        self.stopping.wait()
        self.ended.set()


class Sleeping(Waiting):
    """A thread that waits for something else, until it is woken."""

    def __init__(self) -> None:
        super().__init__()
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def run(self) -> None:
        self.begun.set()
        self._woken.wait()
        assert self.stopping.is_set()
        self.ended.set()


class Failing(BackgroundThread):
    """A thread that fails immediately."""

    def __init__(self) -> None:
        super().__init__("failing")

    def run(self) -> None:
        raise RuntimeError("broken")


@pytest.mark.parametrize("kind", [Waiting, Sleeping])
def test_a_thread_runs_from_start_to_stop(kind: type[Waiting]) -> None:
    thread = kind()
    thread.start()
    assert thread.begun.wait(PATIENCE_S)
    assert not thread.ended.is_set()

    thread.stop()

    assert thread.ended.is_set()


def test_as_a_block_it_runs_while_the_block_lasts() -> None:
    thread = Waiting()

    with thread:
        assert thread.begun.wait(PATIENCE_S)

    assert thread.ended.is_set()


def test_stopping_what_was_never_started_is_no_error() -> None:
    thread = Waiting()

    thread.stop()

    assert not thread.begun.is_set()


def test_a_thread_that_fails_says_so_and_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append((process, number)))
    thread = Failing()

    with caplog.at_level(logging.CRITICAL):
        thread.start()
        thread.stop()

    assert killed == [(os.getpid(), signal.SIGTERM)]
    assert "the thread 'failing' failed" in caplog.text
    assert "RuntimeError: broken" in caplog.text

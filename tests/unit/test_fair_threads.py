"""Threads that submitters share: each finds a free one, however many others use."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.kit.threads import PATIENCE_S
from worker.scanning.fair_threads import FairThreads

THREADS = 8


class Held:
    """Calls that last until they are released."""

    def __init__(self, threads: FairThreads) -> None:
        self._threads = threads
        self.may_go = threading.Event()
        self.begun = threading.Semaphore(0)

    def submit(self, submitter: str, calls: int) -> "list[Future[bool]]":
        return [self._threads.submit(submitter, self._hold) for _ in range(calls)]

    def await_begun(self, calls: int) -> None:
        for _ in range(calls):
            assert self.begun.acquire(timeout=PATIENCE_S)

    def _hold(self) -> bool:
        self.begun.release()
        return self.may_go.wait(PATIENCE_S)


@pytest.fixture
def threads() -> Iterator[FairThreads]:
    threads = FairThreads(THREADS, "test")
    yield threads
    threads.stop()


@pytest.fixture
def held(threads: FairThreads) -> Iterator[Held]:
    held = Held(threads)
    yield held
    held.may_go.set()


def test_one_alone_has_half_of_the_threads(held: Held) -> None:
    calls = held.submit("ann", 2 * THREADS)
    held.await_begun(THREADS // 2)

    assert sum(call.running() for call in calls) == THREADS // 2

    held.may_go.set()
    assert all(call.result(PATIENCE_S) for call in calls)


def test_each_of_several_finds_one_free(held: Held, threads: FairThreads) -> None:
    for submitter in ("ann", "bob", "carol", "dave"):
        held.submit(submitter, 2 * THREADS)
        held.await_begun(1)

    assert not threads.submit("ann", bool).done()


def test_who_has_least_gets_the_next_one(threads: FairThreads) -> None:
    first, second = Held(threads), Held(threads)
    first.submit("ann", THREADS)
    first.await_begun(THREADS // 2)
    theirs = second.submit("bob", THREADS)
    second.await_begun(THREADS // 4)

    first.may_go.set()
    second.await_begun(1)
    second.may_go.set()

    assert all(call.result(PATIENCE_S) for call in theirs)


def test_what_is_cancelled_before_it_began_is_not_called(held: Held, threads: FairThreads) -> None:
    held.submit("ann", THREADS // 2)
    held.await_begun(THREADS // 2)
    called = threading.Event()
    waiting, last = threads.submit("ann", called.set), threads.submit("ann", bool)

    assert waiting.cancel()
    held.may_go.set()

    assert last.result(PATIENCE_S) is False
    assert not called.is_set()


def test_what_a_call_raises_is_its_outcome(threads: FairThreads) -> None:
    error = threads.submit("ann", lambda: 1 / 0).exception(PATIENCE_S)

    assert isinstance(error, ZeroDivisionError)

"""The fair semaphore: who may enter, and in which order."""

import threading

import pytest

from tests.kit.threads import PATIENCE_S, Waits, start_thread
from worker.scanning import fair_semaphore as fair_semaphore_module
from worker.scanning.fair_semaphore import FairSemaphore


def test_who_comes_back_at_once_waits_behind_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, fair_semaphore_module)
    semaphore, order = FairSemaphore(1), []

    def come(name: str) -> None:
        with semaphore.take():
            order.append(name)

    with semaphore.take():
        others = []
        for name in "abc":
            others.append(start_thread(come, name))
            waits.await_next()
    with semaphore.take():
        order.append("back")
    for other in others:
        other.result(PATIENCE_S)

    assert order == ["a", "b", "c", "back"]


def test_who_wants_a_turn_at_once_goes_before_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, fair_semaphore_module)
    semaphore, order = FairSemaphore(1), []

    def come(name: str) -> None:
        with semaphore.take(at_once=name.isupper()):
            order.append(name)

    with semaphore.take():
        others = []
        for name in "abCD":
            others.append(start_thread(come, name))
            waits.await_next()
    for other in others:
        other.result(PATIENCE_S)

    assert order == ["C", "D", "a", "b"]


def test_no_more_threads_than_the_limit_are_inside_and_all_get_in() -> None:
    semaphore, inside, most, lock = FairSemaphore(2), 0, 0, threading.Lock()

    def come() -> None:
        nonlocal inside, most
        for _ in range(200):
            with semaphore.take():
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    def come_twice() -> None:
        with semaphore.take(), semaphore.take():
            pass

    for thread in [start_thread(come) for _ in range(8)]:
        thread.result(PATIENCE_S)

    assert most <= 2
    start_thread(come_twice).result(PATIENCE_S)

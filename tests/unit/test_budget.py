"""The memory budget: it is never exceeded, and every holder gets a turn."""

import threading

import pytest

from tests.kit.threads import GLANCE_S, PATIENCE_S, Waits, start_thread
from worker.scanning import budget as budget_module
from worker.scanning.budget import Budget


class Holder:
    """A thread that holds part of a budget until it may release it."""

    def __init__(self, budget: Budget, size: int) -> None:
        self.inside = threading.Event()
        self._leaving = threading.Event()
        self._done = start_thread(lambda: self._hold(budget, size))

    def _hold(self, budget: Budget, size: int) -> None:
        with budget.hold(size):
            self.inside.set()
            assert self._leaving.wait(PATIENCE_S)

    def let_go(self) -> None:
        self._leaving.set()
        self._done.result(PATIENCE_S)


def test_what_fits_is_held_at_once() -> None:
    budget = Budget(10)

    with budget.hold(4), budget.hold(6), budget.hold(0):
        pass


def test_what_does_not_fit_waits_until_enough_is_free() -> None:
    budget = Budget(10)
    first, second = Holder(budget, 4), Holder(budget, 5)
    assert first.inside.wait(PATIENCE_S)
    assert second.inside.wait(PATIENCE_S)
    third = Holder(budget, 6)

    first.let_go()
    assert not third.inside.wait(GLANCE_S)
    second.let_go()

    assert third.inside.wait(PATIENCE_S)
    third.let_go()


def test_small_ones_do_not_slip_past_a_large_one_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, budget_module)
    budget = Budget(10)
    holding = Holder(budget, 5)
    assert holding.inside.wait(PATIENCE_S)
    large = Holder(budget, 6)
    waits.await_next()

    small = Holder(budget, 1)
    assert not small.inside.wait(GLANCE_S)
    holding.let_go()

    assert large.inside.wait(PATIENCE_S)
    assert small.inside.wait(PATIENCE_S)
    large.let_go()
    small.let_go()


def test_more_than_all_of_it_means_all_of_it() -> None:
    budget = Budget(10)
    one = Holder(budget, 1)
    assert one.inside.wait(PATIENCE_S)
    vast = Holder(budget, 10**12)

    assert not vast.inside.wait(GLANCE_S)
    one.let_go()

    assert vast.inside.wait(PATIENCE_S)
    one = Holder(budget, 1)
    assert not one.inside.wait(GLANCE_S)
    vast.let_go()
    assert one.inside.wait(PATIENCE_S)
    one.let_go()


def test_what_was_held_is_free_after_an_error() -> None:
    budget = Budget(10)

    with pytest.raises(ZeroDivisionError), budget.hold(10):
        1 / 0  # noqa: B018

    with budget.hold(10):
        pass


def test_many_threads_never_hold_more_than_there_is() -> None:
    budget = Budget(10)
    lock = threading.Lock()
    held, most = 0, 0

    def hold(sizes: range) -> None:
        nonlocal held, most
        for size in sizes:
            with budget.hold(size % 12):
                taken = min(size % 12, 10)
                with lock:
                    held += taken
                    most = max(most, held)
                with lock:
                    held -= taken

    threads = [start_thread(hold, range(number, number + 300)) for number in range(8)]
    for thread in threads:
        thread.result(PATIENCE_S)

    assert held == 0
    assert 0 < most <= 10
    with budget.hold(10):
        pass


def test_who_holds_least_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, budget_module)
    budget = Budget(10)
    theirs = [budget.reserve(5, "mallory") for _ in range(2)]
    queued = [start_thread(budget.reserve, 5, "mallory") for _ in range(3)]
    for _ in queued:
        waits.await_next()
    mine = start_thread(budget.reserve, 5, "ann")
    waits.await_next()

    theirs[0].release()

    mine.result(PATIENCE_S).release()
    theirs[1].release()
    for each in queued:
        each.result(PATIENCE_S).release()


def test_of_two_who_hold_nothing_the_one_who_was_served_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, budget_module)
    budget = Budget(10)
    held = budget.reserve(10, "mallory")
    theirs = start_thread(budget.reserve, 10, "mallory")
    waits.await_next()
    mine = start_thread(budget.reserve, 10, "ann")
    waits.await_next()

    held.release()

    reservation = mine.result(PATIENCE_S)
    assert not theirs.done()
    reservation.release()
    theirs.result(PATIENCE_S).release()


def test_a_wait_that_is_too_long_ends_and_holds_nothing() -> None:
    budget = Budget(10)
    held = budget.reserve(1)

    with pytest.raises(TimeoutError):
        budget.reserve(10, timeout_s=GLANCE_S)

    held.release()
    budget.reserve(10, timeout_s=PATIENCE_S).release()

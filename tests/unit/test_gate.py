"""The gate: several chunks together, or one alone."""

import threading

import pytest

from tests.kit.threads import GLANCE_S, PATIENCE_S, Waits, start_thread
from worker import gate as gate_module
from worker.gate import Gate


class Visitor:
    """A thread that is inside the gate, or waits for it, until it may leave."""

    def __init__(self, gate: Gate, *, alone: bool) -> None:
        self.inside = threading.Event()
        self._leaving = threading.Event()
        self._done = start_thread(lambda: self._visit(gate, alone=alone))

    def _visit(self, gate: Gate, *, alone: bool) -> None:
        with gate.enter(alone=alone):
            self.inside.set()
            assert self._leaving.wait(PATIENCE_S)

    def leave(self) -> None:
        self._leaving.set()
        self._done.result(PATIENCE_S)


def entered(gate: Gate, *, alone: bool) -> Visitor:
    visitor = Visitor(gate, alone=alone)
    assert visitor.inside.wait(PATIENCE_S)
    return visitor


def test_many_are_inside_together() -> None:
    gate = Gate()

    visitors = [entered(gate, alone=False) for _ in range(5)]

    for visitor in visitors:
        visitor.leave()


@pytest.mark.parametrize(("first", "second"), [(True, True), (True, False), (False, True)])
def test_whoever_is_alone_is_inside_with_nobody(first: bool, second: bool) -> None:
    gate = Gate()
    inside = entered(gate, alone=first)

    other = Visitor(gate, alone=second)

    assert not other.inside.wait(GLANCE_S)
    inside.leave()
    assert other.inside.wait(PATIENCE_S)
    other.leave()


def test_the_gate_opens_again_after_an_error() -> None:
    gate = Gate()

    for alone in (True, False, True):
        with pytest.raises(ZeroDivisionError), gate.enter(alone=alone):
            1 / 0  # noqa: B018

    entered(gate, alone=True).leave()


def test_one_who_waits_to_be_alone_comes_before_those_who_arrive_later(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(monkeypatch, gate_module)
    gate = Gate()
    order: list[str] = []
    early = entered(gate, alone=False)
    suspect = start_thread(lambda: pass_as(gate, "suspect", order, alone=True))
    waits.await_next()

    late = start_thread(lambda: pass_as(gate, "late", order, alone=False))
    waits.await_next()
    early.leave()
    suspect.result(PATIENCE_S)
    late.result(PATIENCE_S)

    assert order == ["suspect", "late"]


def pass_as(gate: Gate, name: str, order: list[str], *, alone: bool) -> None:
    with gate.enter(alone=alone):
        order.append(name)


def test_many_threads_never_meet_one_who_is_alone() -> None:
    gate = Gate()
    lock = threading.Lock()
    together, alone_inside = 0, 0
    met: list[tuple[int, int]] = []

    def visit(number: int) -> None:
        nonlocal together, alone_inside
        for turn in range(200):
            alone = (turn + number) % 5 == 0
            with gate.enter(alone=alone):
                with lock:
                    together += not alone
                    alone_inside += alone
                    if alone_inside > 1 or (alone_inside and together):
                        met.append((together, alone_inside))
                with lock:
                    together -= not alone
                    alone_inside -= alone

    threads = [start_thread(visit, number) for number in range(8)]
    for thread in threads:
        thread.result(PATIENCE_S)

    assert met == []

"""Who gets in, and in which order."""

import threading

from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.turns import Turns


def test_who_comes_back_at_once_waits_behind_those_that_wait() -> None:
    turns, order, waiting = Turns(1), [], threading.Semaphore(0)

    def come(name: str) -> None:
        waiting.release()
        with turns:
            order.append(name)

    with turns:
        others = []
        for number, name in enumerate("abc", 1):
            others.append(start_thread(come, name))
            assert waiting.acquire(timeout=PATIENCE_S)
            while len(turns._waiting) < number:
                pass
    with turns:
        order.append("back")
    for other in others:
        other.result(PATIENCE_S)

    assert order == ["a", "b", "c", "back"]


def test_no_more_threads_than_the_limit_are_inside_and_all_get_in() -> None:
    turns, inside, most, lock = Turns(2), 0, 0, threading.Lock()

    def come() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns:
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    for thread in [start_thread(come) for _ in range(8)]:
        thread.result(PATIENCE_S)

    assert most <= 2
    assert turns._free == 2

"""Scanners are closed when nobody uses them any more, and not before."""

import pytest

from worker.pipeline_switch import Scanners


class Closing:
    """Stands for a scanner: knows how often it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def first() -> Closing:
    return Closing()


def test_an_idle_scanner_is_closed_when_it_is_replaced(first: Closing) -> None:
    scanners = Scanners(first)
    with scanners.newest() as used:
        assert used is first
    scanners.replace(second := Closing())
    assert (first.closed, second.closed) == (1, 0)


def test_a_chunk_keeps_its_scanner_to_its_end(first: Closing) -> None:
    scanners = Scanners(first)
    second = Closing()
    with scanners.newest(), scanners.newest():
        scanners.replace(second)
        with scanners.newest() as used:
            assert used is second
        assert first.closed == 0
    assert (first.closed, second.closed) == (1, 0)


def test_closing_ends_the_newest(first: Closing) -> None:
    scanners = Scanners(first)
    scanners.replace(second := Closing())
    scanners.close()
    assert (first.closed, second.closed) == (1, 1)

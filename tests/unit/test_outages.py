"""Waiting for a server: pauses grow up to a limit, and two lines are logged, however many threads wait."""

import logging
from itertools import islice

import pytest

from storage.outages import LONGEST_PAUSE_S, Backoff, Server, grow_pauses


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = list(islice(grow_pauses(), 20))

    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] == LONGEST_PAUSE_S


def test_an_outage_is_two_lines_in_the_log_however_many_wait_and_however_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    server = Server("the oven")
    waiting = [Backoff(server) for _ in range(8)]

    for _ in range(3):
        for backoff in waiting:
            backoff.note_failure(OSError("cold\nand dark"))
    for backoff in waiting[:-1]:
        backoff.note_success()
    assert caplog.messages == ["the oven does not do its work; waiting until it does: cold"]
    waiting[-1].note_success()

    assert len(caplog.messages) == 2
    assert caplog.messages[-1].startswith("the oven works again after ")


def test_each_outage_starts_with_a_short_pause_and_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    server = Server("the oven")

    for _ in range(2):
        with Backoff(server) as backoff:
            first = backoff.note_failure(OSError("cold"))
            assert backoff.note_failure(OSError("cold")) > first

    assert len(caplog.messages) == 4

"""The measurements of a soak: growth of the process that ran longest, after its start-up."""

import os
import threading

import pytest

from research.processes import Usage
from research.soak.command import is_sound
from research.soak.load import start_load, watch_loads
from research.soak.sampling import MIB, Sample, measure_growth, sample_processes
from tests.kit.threads import PATIENCE_S

ACCOUNTS = {
    "unfinished": 0, "missing": 0, "double": 0, "wrong_counters": 0, "jobs_with_webhook": 3, "webhooks": 3,
}  # fmt: skip
WHOLE = {"right": 1.0, "answered": 0.995}


def hold(program: str, process_id: int, *megabytes: float) -> list[Sample]:
    return [
        Sample(360.0 * number, process_id, program, Usage(int(each * MIB), 10, 3))
        for number, each in enumerate(megabytes)
    ]


def test_growth_is_that_of_the_longest_life_without_its_beginning() -> None:
    filling, growing = [10.0, 60.0, 90.0, 99.0], [100.0 + 2 * number for number in range(12)]

    figures = measure_growth(hold("api", 1, 5.0, 500.0) + hold("api", 2, *filling, *growing))

    assert figures["api"]["processes"] == 2
    assert figures["api"]["memory_mib_an_hour"] == pytest.approx(20.0, abs=0.1)
    assert figures["api"]["descriptors_an_hour"] == 0.0
    assert figures["api"]["most_mib"] == 500.0


def test_of_a_short_life_no_growth_is_told() -> None:
    assert "memory_mib_an_hour" not in measure_growth(hold("api", 1, 5.0, 6.0))["api"]


def test_this_process_is_sampled() -> None:
    (held,) = [each for each in sample_processes([os.getpid()], 7.0) if each.process_id == os.getpid()]

    assert held.at == 7.0
    assert held.usage.memory > MIB
    assert held.usage.descriptors > 2
    assert held.usage.threads >= 1


def test_a_load_that_fails_ends_the_soak() -> None:
    def fail() -> None:
        raise ConnectionError("nobody listens")

    goes_on = threading.Event()
    loads = [start_load(goes_on.wait), start_load(fail)]

    with pytest.raises(ConnectionError, match="nobody listens"):
        watch_loads(loads, PATIENCE_S)

    goes_on.set()


@pytest.mark.parametrize(
    "wrong", [{"missing": 1}, {"double": 1}, {"unfinished": 2}, {"webhooks": 2}, {"wrong_counters": 1}]
)
def test_what_is_lost_or_doubled_is_not_sound(wrong: dict[str, int]) -> None:
    assert is_sound({"accounts": ACCOUNTS, "one_by_one": {"whole": WHOLE}})
    assert not is_sound({"accounts": ACCOUNTS | wrong, "one_by_one": {"whole": WHOLE}})


@pytest.mark.parametrize("wrong", [{"right": 0.99}, {"answered": 0.9}])
def test_answers_that_are_wrong_or_missing_are_not_sound(wrong: dict[str, float]) -> None:
    assert not is_sound({"accounts": ACCOUNTS, "one_by_one": {"whole": WHOLE | wrong}})

"""Chaos runs: the seed determines the faults, and recoveries are counted correctly."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from research.chaos import watching
from research.chaos.faults import FAULTS, schedule
from research.chaos.jobs import plan_jobs
from research.chaos.watching import Recoveries


def test_the_seed_decides_the_faults_and_every_kind_comes_as_often_as_every_other() -> None:
    names = schedule(25, np.random.default_rng(3))

    assert names == schedule(25, np.random.default_rng(3))
    assert names != schedule(25, np.random.default_rng(4))
    counts = Counter(names)
    assert set(counts) == set(FAULTS)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_jobs_have_all_images_and_each_hostile_one_once() -> None:
    hostile = [f"file:///hostile-{number}" for number in range(5)]

    jobs = list(plan_jobs(["file:///harmless"], hostile, 5000, np.random.default_rng(1)))

    references = [reference for job in jobs for reference in job.references]
    assert len(references) == 5000
    assert sorted(reference for reference in references if "hostile" in reference) == hostile
    assert len({job.key for job in jobs}) == len(jobs)
    assert {job.priority for job in jobs} == {"interactive", "bulk"}


def test_a_recovery_ends_with_the_next_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 11.0, 14.0, 20.0])
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: next(now)))
    recoveries = Recoveries()

    recoveries.fault("first", finished=5)
    recoveries.progress(5)
    recoveries.progress(6)
    recoveries.progress(7)

    assert (recoveries.longest_s, recoveries.longest_after) == (4.0, "first")

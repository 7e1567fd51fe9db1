"""Pipelines are stopped when no chunk uses them any more, and not earlier."""

import pytest

from worker.pipeline_switch import PipelineSwitch
from worker.scanning.pipeline import Pipeline


class CountedPipeline(Pipeline):
    """A pipeline that scans nothing, and counts its starts and stops."""

    def __init__(self) -> None:
        self.started = self.stopped = 0

    def start(self) -> None:
        self.started += 1

    def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def first() -> CountedPipeline:
    return CountedPipeline()


@pytest.fixture
def pipelines(first: CountedPipeline) -> PipelineSwitch:
    switch = PipelineSwitch(first)
    switch.start()
    return switch


def test_an_idle_pipeline_is_stopped_when_it_is_replaced(pipelines: PipelineSwitch, first: CountedPipeline) -> None:
    with pipelines.use_newest() as used:
        assert used is first
    pipelines.replace(second := CountedPipeline())
    assert (first.started, first.stopped, second.started, second.stopped) == (1, 1, 1, 0)


def test_a_chunk_keeps_its_pipeline_to_its_end(pipelines: PipelineSwitch, first: CountedPipeline) -> None:
    second = CountedPipeline()
    with pipelines.use_newest(), pipelines.use_newest():
        pipelines.replace(second)
        with pipelines.use_newest() as used:
            assert used is second
        assert first.stopped == 0
    assert (first.stopped, second.stopped) == (1, 0)


def test_stopping_stops_the_newest(pipelines: PipelineSwitch, first: CountedPipeline) -> None:
    pipelines.replace(second := CountedPipeline())
    pipelines.stop()
    assert (first.stopped, second.stopped) == (1, 1)

"""The batcher: which images are scored together, and the effect of a bad image on the others."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.kit.detectors import list_widths
from tests.kit.pictures import draw_pattern, encode_pattern
from tests.kit.threads import GLANCE_S, PATIENCE_S, start_thread
from worker.scanning.batcher import Batcher, Scorer
from worker.v4.detector import Score
from worker.v4.planes import PLANES, PlaneArray, extract_planes

FOR_EVER_S = 3600.0
POISON = 13


def draw(*widths: int) -> PlaneArray:
    """Return the planes of images with these widths."""
    return np.array(
        [extract_planes(draw_pattern("L", (width, 1)), encode_pattern("PNG", "L", (width, 1))) for width in widths],
        PLANES,
    )


@dataclass
class Widths:
    """Scores images by width; fails if the bad image is in the batch."""

    batches: list[list[int]] = field(default_factory=list)

    def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
        widths = list_widths(batch)
        self.batches.append(widths)
        if POISON in widths:
            raise RuntimeError("poison")
        return [Score(False, width / 1000, 1 - width / 1000, None, None) for width in widths]


class Held:
    """Waits in its first batch until it may continue; then scores like `scorer`."""

    def __init__(self, scorer: Scorer) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self._scorer = scorer

    def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
        self.reached.set()
        assert self.go_on.wait(PATIENCE_S)
        return self._scorer.score(batch)


@pytest.fixture
def widths() -> Widths:
    return Widths()


@pytest.fixture
def held(widths: Widths) -> Iterator[Held]:
    scorer = Held(widths)
    yield scorer
    scorer.go_on.set()


Scores = Future[list[Score | Exception]]


def submit(batcher: Batcher, *widths: int) -> list[Scores]:
    """Submit images one by one."""
    return [batcher.submit(draw(width)) for width in widths]


def scored(futures: Sequence[Scores]) -> list[int]:
    """Return the width behind each score, in the order of the futures; raises what the scorer raised."""
    widths = []
    for score in (score for future in futures for score in future.result(PATIENCE_S)):
        if isinstance(score, Exception):
            raise score
        widths.append(round(score.stego_probability * 1000))
    return widths


def test_a_full_batch_does_not_wait(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=4, wait_s=FOR_EVER_S)
    batcher.start()

    futures = submit(batcher, 1, 2, 3, 4)

    assert scored(futures) == [1, 2, 3, 4]
    assert widths.batches == [[1, 2, 3, 4]]


def test_what_is_wanted_at_once_does_not_wait_for_the_batch_that_is_being_scored(widths: Widths) -> None:
    in_batcher = threading.Event()
    go_on = threading.Event()

    class HeldInBatcher:
        def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
            if threading.current_thread().name == "batcher":
                in_batcher.set()
                assert go_on.wait(PATIENCE_S)
            return widths.score(batch)

    batcher = Batcher(HeldInBatcher(), batch_size=2, wait_s=FOR_EVER_S)
    batcher.start()
    bulk = submit(batcher, 1, 2, 3)
    assert in_batcher.wait(PATIENCE_S)

    urgent = batcher.submit(draw(4, 5, 6), at_once=True)

    assert urgent.done()
    assert scored([urgent]) == [4, 5, 6]
    assert widths.batches == [[4, 5], [6]]
    go_on.set()
    bulk += submit(batcher, 7)
    assert scored(bulk) == [1, 2, 3, 7]


def test_a_lone_image_waits_for_others_no_longer_than_it_should(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=4, wait_s=0.001)
    batcher.start()

    assert scored(submit(batcher, 1)) == [1]
    assert scored(submit(batcher, 2)) == [2]
    assert widths.batches == [[1], [2]]


def test_what_waits_is_scored_in_full_batches_in_order(widths: Widths, held: Held) -> None:
    batcher = Batcher(held, batch_size=3, wait_s=0.001)
    batcher.start()
    first = submit(batcher, 100)
    assert held.reached.wait(PATIENCE_S)

    futures = submit(batcher, 1, 2, 3, 4, 5, 6)
    held.go_on.set()

    assert scored([*first, *futures]) == [100, 1, 2, 3, 4, 5, 6]
    assert widths.batches == [[100], [1, 2, 3], [4, 5, 6]]


def test_many_images_at_once_are_scored_in_full_batches_and_the_rest_does_not_wait_long(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=3, wait_s=0.001)
    batcher.start()

    assert scored([batcher.submit(draw(*range(1, 9)))]) == list(range(1, 9))
    assert widths.batches == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_images_of_many_threads_each_get_their_own_score(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=5, wait_s=0.001)
    batcher.start()
    everybody = [width for width in range(1, 101) if width != POISON]
    images = {width: draw(width) for width in everybody}

    def submit(numbers: Sequence[int]) -> list[int]:
        return scored([batcher.submit(np.concatenate([images[width] for width in numbers]))])

    chunks = [[width for width in everybody if width % 4 == part] for part in range(4)]
    threads = [start_thread(submit, chunk) for chunk in chunks]

    assert [thread.result(PATIENCE_S) for thread in threads] == chunks
    assert sorted(width for batch in widths.batches for width in batch) == everybody
    assert max(map(len, widths.batches)) <= 5


@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_poisoned_image_fails_alone(widths: Widths, position: int) -> None:
    batcher = Batcher(widths, batch_size=4, wait_s=FOR_EVER_S)
    batcher.start()
    healthy = [1, 2, 3]

    futures = submit(batcher, *healthy[:position], POISON, *healthy[position:])
    poisoned = futures.pop(position)

    assert scored(futures) == healthy
    with pytest.raises(RuntimeError, match="poison"):
        scored([poisoned])


def test_a_poisoned_image_fails_alone_in_its_group(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=2, wait_s=0.001)
    batcher.start()

    scores = batcher.submit(draw(1, 2, POISON, 3, 4)).result(PATIENCE_S)

    assert [isinstance(score, RuntimeError) for score in scores] == [False, False, True, False, False]


def test_nothing_is_scored_at_once(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=2, wait_s=FOR_EVER_S)

    assert batcher.submit(draw()).result(GLANCE_S) == []


def test_batches_after_a_poisoned_one_are_scored(widths: Widths) -> None:
    batcher = Batcher(widths, batch_size=2, wait_s=FOR_EVER_S)
    batcher.start()

    wait(submit(batcher, POISON, POISON), PATIENCE_S)

    assert scored(submit(batcher, 1, 2)) == [1, 2]


def test_two_batches_may_wait_and_no_more(widths: Widths, held: Held) -> None:
    batcher = Batcher(held, batch_size=2, wait_s=0.001)
    batcher.start()
    scoring = submit(batcher, 1)
    assert held.reached.wait(PATIENCE_S)
    waiting = submit(batcher, 2, 3, 4, 5)

    blocked = start_thread(lambda: submit(batcher, 6))

    with pytest.raises(TimeoutError):
        blocked.result(GLANCE_S)
    held.go_on.set()
    assert scored([*scoring, *waiting, *blocked.result(PATIENCE_S)]) == [1, 2, 3, 4, 5, 6]
    assert widths.batches[1:] == [[2, 3], [4, 5], [6]]


@pytest.mark.parametrize("waiting", [0, 1, 3, 4, 7])
def test_closing_scores_what_waits(widths: Widths, held: Held, waiting: int) -> None:
    batcher = Batcher(held, batch_size=4, wait_s=FOR_EVER_S)
    batcher.start()
    futures = submit(batcher, *range(1, waiting + 1))

    closing = start_thread(batcher.stop)
    held.go_on.set()
    closing.result(PATIENCE_S)

    assert all(future.done() for future in futures)
    assert scored(futures) == list(range(1, waiting + 1))


def test_closing_ends_the_thread(widths: Widths) -> None:
    before = threading.active_count()
    batcher = Batcher(widths, batch_size=4, wait_s=FOR_EVER_S)
    batcher.start()
    assert threading.active_count() == before + 1

    batcher.stop()

    assert threading.active_count() == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_scorer_that_forgets_an_image_fails_its_batch_and_not_the_worker() -> None:
    class Forgetful:
        def score(self, batch: PlaneArray, thresholds: Sequence[float | None] | None = None) -> list[Score]:
            return []

    batcher = Batcher(Forgetful(), batch_size=2, wait_s=FOR_EVER_S)
    batcher.start()
    futures = submit(batcher, 1, 2)

    done, _ = wait(futures, PATIENCE_S)

    assert done == set(futures)

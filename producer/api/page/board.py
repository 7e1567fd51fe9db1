"""The state that all visitors of the page share, read once for all: figures, workers, canaries, and recent rates."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from producer.api.service import Service
from starlight_vocabulary.answers import LiveWorker
from storage.canaries import Canaries, read_canaries
from storage.figures import Figures, take_figures
from storage.workers import list_live_workers

# Older state is read again.
FRESH_S: Final = 2.0
# Number of rates in the diagram: ten minutes, while somebody looks at the page.
RATES: Final = 300


@dataclass(frozen=True, slots=True)
class State:
    """Figures, workers and canaries at one time, and the recent rates in images a minute, oldest first."""

    figures: Figures
    workers: Sequence[LiveWorker]
    canaries: Canaries
    target: int
    rates: tuple[int, ...]

    @property
    def highest(self) -> int:
        """The rate at the top of the diagram: the highest rate or the target, whichever is higher."""
        return max(self.target, *self.rates)

    @property
    def line(self) -> str:
        """Return the rates as points of a polyline: the newest at x = `RATES`, y from `find_height`."""
        first = RATES - len(self.rates) + 1
        return " ".join(f"{first + at},{self.find_height(rate):.1f}" for at, rate in enumerate(self.rates))

    def find_height(self, rate: int) -> float:
        """Return the y coordinate of a rate, from 0 for the highest to 100 for a rate of 0."""
        return 100 - 100 * rate / max(1, self.highest)


class Board:
    """Caches the state of the installation for this process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._rates: deque[int] = deque(maxlen=RATES)
        self._state: State | None = None
        self._read_at = 0.0

    def read(self) -> State:
        """Return the state; concurrent callers share one read."""
        with self._lock:
            if self._state is None or time.monotonic() - self._read_at > FRESH_S:
                settings = self._service.settings
                figures = take_figures(self._service.engine)
                workers = list_live_workers(self._service.engine, settings.lease_s)
                self._rates.append(figures.finished_last_minute)
                canaries = read_canaries(self._service.engine)
                target = settings.target_images_per_minute
                self._state = State(figures, workers, canaries, target, tuple(self._rates))
                self._read_at = time.monotonic()
            return self._state


async def get_board(request: Request) -> Board:
    """Return the board of this process."""
    board: Board = request.app.state.board
    return board


SharedBoard = Annotated[Board, Depends(get_board)]

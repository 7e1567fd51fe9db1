"""What everybody who looks at the page sees alike, read once for all: figures, workers, canaries, and rates before."""

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

# How old figures may be that are shown again.
FRESH_S: Final = 2.0
# Rates that are kept for the line: ten minutes of somebody looking.
RATES: Final = 300


@dataclass(frozen=True, slots=True)
class State:
    """Figures, workers and canaries of one moment, and the images a minute of the moments up to it, oldest first."""

    figures: Figures
    workers: Sequence[LiveWorker]
    canaries: Canaries
    target: int
    rates: tuple[int, ...]

    @property
    def highest(self) -> int:
        """What the line's height stands for: the highest rate, or the target where it is higher."""
        return max(self.target, *self.rates)

    @property
    def line(self) -> str:
        """Return the rates as points of a polyline, the newest at x = `RATES`, y as `find_height` has it."""
        first = RATES - len(self.rates) + 1
        return " ".join(f"{first + at},{self.find_height(rate):.1f}" for at, rate in enumerate(self.rates))

    def find_height(self, rate: int) -> float:
        """Return where a rate stands, from 0 for the highest to 100 for 0."""
        return 100 - 100 * rate / max(1, self.highest)


class Board:
    """Keeps the state of this process's installation, read when somebody asks and the last is not fresh."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._rates: deque[int] = deque(maxlen=RATES)
        self._state: State | None = None
        self._read_at = 0.0

    def read(self) -> State:
        """Return the state; of several who ask at once, one reads."""
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

"""The output of running programs."""

import threading
from typing import IO

from tests.kit.threads import PATIENCE_S

# How many of the last lines are shown if an expected line is missing.
SHOWN_LINES = 20


class Output:
    """The lines of a program. They are read as they are written, so that the program never blocks."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def wait_for(self, *texts: str) -> None:
        """Return once each of these texts has been written, now or earlier."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._holds(texts), PATIENCE_S)
            assert self._holds(texts), f"{texts} was not written, but: {''.join(self._lines[-SHOWN_LINES:])}"

    def count(self, text: str) -> int:
        """Return how many lines so far contain this text."""
        with self._changed:
            return sum(text in line for line in self._lines)

    def list_lines(self) -> list[str]:
        """Return the lines so far."""
        with self._changed:
            return list(self._lines)

    def wait_for_end(self) -> None:
        """Return once the stream has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, PATIENCE_S)

    def wait_for_count(self, text: str, count: int) -> None:
        """Return once at least `count` lines contain this text."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.count(text) >= count, PATIENCE_S)
            assert self.count(text) >= count, (
                f"{text} was not written {count} times: {''.join(self._lines[-SHOWN_LINES:])}"
            )

    def _holds(self, texts: tuple[str, ...]) -> bool:
        return all(any(text in line for line in self._lines) for text in texts)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

"""What programs write while they run."""

import threading
from typing import IO

from tests.kit.threads import PATIENCE_S

# So many of the last lines tell why a line did not come.
TOLD_LINES = 20


class Output:
    """The lines of a program, which are read as they come, so that it never waits for its reader."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def wait_for(self, *texts: str) -> None:
        """Return once each of these texts was written, however long ago."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._holds(texts), PATIENCE_S)
            assert self._holds(texts), f"{texts} was not written, but: {''.join(self._lines[-TOLD_LINES:])}"

    def count(self, text: str) -> int:
        """Return how many lines so far hold this text."""
        with self._changed:
            return sum(text in line for line in self._lines)

    def list_lines(self) -> list[str]:
        """Return the lines so far."""
        with self._changed:
            return list(self._lines)

    def wait_for_end(self) -> None:
        """Return once nobody can write any more."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended, PATIENCE_S)

    def wait_for_count(self, text: str, count: int) -> None:
        """Return once so many lines hold this text."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.count(text) >= count, PATIENCE_S)
            assert self.count(text) >= count, (
                f"{text} was not written {count} times: {''.join(self._lines[-TOLD_LINES:])}"
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

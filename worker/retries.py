"""Decides which images are put off after a temporary failure, and for how long."""

from collections.abc import Sequence
from dataclasses import replace

from starlight_vocabulary.words import ErrorCode
from storage.new_verdict import NewVerdict
from storage.settings import Settings

# Prevents a float overflow; every limit is reached long before.
MAX_DOUBLINGS = 64


class Retries:
    """Puts off images that could not be reached, with exponential backoff, up to `STARLIGHT_MAX_TRIES` tries."""

    def __init__(self, settings: Settings) -> None:
        self._max_tries = settings.max_tries
        self._first_s = settings.retry_first_s
        self._longest_s = settings.retry_longest_s

    def decide(self, verdicts: Sequence[NewVerdict], tries: int) -> tuple[list[NewVerdict], float | None]:
        """Return the final verdicts, and for how many seconds to put off the other images (None if there are none).

        `tries` counts the earlier scans of the same images. After the last try the failure is final.
        """
        unavailable = {verdict.ordinal for verdict in verdicts if verdict.error_code == ErrorCode.UNAVAILABLE}
        if not unavailable:
            return list(verdicts), None
        if tries + 1 < self._max_tries:
            pause = min(self._first_s * 2.0 ** min(tries, MAX_DOUBLINGS), self._longest_s)
            return [verdict for verdict in verdicts if verdict.ordinal not in unavailable], pause
        return [
            replace(verdict, error_detail=f"{verdict.error_detail} (tried {tries + 1} times)")
            if verdict.ordinal in unavailable
            else verdict
            for verdict in verdicts
        ], None

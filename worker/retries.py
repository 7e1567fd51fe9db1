"""Which failures pass, and when to try again."""

from collections.abc import Sequence
from dataclasses import replace

from starlight_vocabulary.words import ErrorCode
from storage.new_verdict import NewVerdict
from storage.settings import Settings

# More would be no number any more; every limit is reached long before.
MAX_DOUBLINGS = 64


class Retries:
    """Puts images off that could not be reached, for longer each time, until they were tried often enough."""

    def __init__(self, settings: Settings) -> None:
        self._max_tries = settings.max_tries
        self._first_s = settings.retry_first_s
        self._longest_s = settings.retry_longest_s

    def decide(self, verdicts: Sequence[NewVerdict], tries: int) -> tuple[list[NewVerdict], float | None]:
        """Return the verdicts that stand, and for how many seconds to put off the other images, None without any.

        `tries` counts the earlier scans of the same images. After the last one the failure stands.
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

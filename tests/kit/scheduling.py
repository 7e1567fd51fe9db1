"""Decides which of several test processes runs which tests."""

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[2]
ASKING = re.compile(r"def \w+\([^)]*\bstack: RunningStack\b")


class StackScheduling(LoadFileScheduling):  # type: ignore[misc]  # it comes without types
    """Keeps each file in one process, and all files that use the running stack in the same one, as it starts slowly."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "the running stack" if uses_stack(file) else file


@cache
def uses_stack(file: str) -> bool:
    """Whether a test of this file, given by its path in the repository, uses the stack of the acceptance tests."""
    return file.startswith("tests/acceptance/") and bool(ASKING.search((ROOT / file).read_text(encoding="utf-8")))

"""A stack that runs while the acceptance tests do."""

from collections.abc import Iterator

import pytest

from storage.database import connect
from tests.kit.folders import make_temporary_folder
from tests.kit.stack import RunningStack, start_stack, stop_stack

LEASE_S = 3


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """A running stack, shared by all tests that do not break it."""
    with make_temporary_folder() as folder:
        settings = {
            "data_dir": folder, "lease_s": LEASE_S, "chunk_size": 16, "submitter": "tester", "reuse": False,
            "blocks_root": folder / "blocks",
        }  # fmt: skip
        process, addresses = start_stack(settings, "cpu0", "cpu1")
        engine = connect(addresses["PostgreSQL"])
        yield RunningStack(process, settings, addresses, engine)
        engine.dispose()
        assert stop_stack(process) == 0

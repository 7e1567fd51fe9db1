"""A stack that runs while the acceptance tests do, and settings of commands that use it."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.kit.chain_node import ChainNode, serve_chain
from tests.kit.command import run_starlight
from tests.kit.folders import make_temporary_folder
from tests.kit.stack import RunningStack, start_stack, stop_stack

LEASE_S = 3


@pytest.fixture(scope="session")
def chain_node() -> Iterator[ChainNode]:
    """The node of the chain that the stack asks."""
    with serve_chain() as node:
        yield node


@pytest.fixture(scope="session")
def stack(chain_node: ChainNode) -> Iterator[RunningStack]:
    """A running stack with two workers on this machine's processor, shared by all tests that do not break it."""
    with make_temporary_folder() as folder:
        settings = {
            "data_dir": folder, "lease_s": LEASE_S, "chunk_size": 16, "submitter": "tester", "reuse": False,
            "blocks_root": folder / "blocks", "flower_url_prefix": "tools/flower",
            "bitcoin_url": chain_node.urls["rest"],
        }  # fmt: skip
        running = start_stack(settings, "cpu0", "cpu1")
        yield running
        assert stop_stack(running) == 0


@pytest.fixture(params=["here", "elsewhere"])
def settings(request: pytest.FixtureRequest, stack: RunningStack, tmp_path: Path) -> dict[str, object]:
    """Settings of commands: on the machine of the stack, and on another one, which asks the API of the stack."""
    if request.param == "here":
        return dict(stack.settings)
    parts = urlsplit(stack.addresses["API"])
    key = run_starlight("keys", "create", f"olga-{uuid.uuid4().hex}", "--scope", "admin", settings=stack.settings)
    return {"data_dir": tmp_path / "none", "server": f"{parts.scheme}://{parts.netloc}", "key": key.stdout.strip()}

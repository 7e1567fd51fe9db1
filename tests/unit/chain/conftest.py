"""A node of the chain, and settings with its address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import Settings
from tests.kit.chain_node import ChainNode, serve_chain


@pytest.fixture
def node() -> Iterator[ChainNode]:
    with serve_chain() as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, node: ChainNode) -> Settings:
    return Settings(data_dir=tmp_path / "data", bitcoin_url=node.urls["rest"])

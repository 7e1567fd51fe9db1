"""Nodes over HTTP: the three interfaces, and one clear error for each way in which a node may misbehave."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from producer.chain.errors import ChainError, NotOnChainError
from producer.chain.node_http import MAX_JSON_BYTES
from producer.chain.nodes import Node, TransactionPlace, open_node
from producer.chain.wanted import MAX_BLOCK_BYTES
from storage.settings import Settings
from tests.kit.chain import TIME, get_id, inscribe, make_script, serialize, spend
from tests.kit.chain_node import NAME, PASSWORD, ChainNode
from tests.kit.ports import find_free_port
from tests.kit.tardy_server import serve_tardily

KINDS = ("rpc", "rest", "esplora")
NOWHERE = "ab" * 32


def count_blocks(opened: Node) -> int:
    return opened.count_blocks()


def refuse(settings: Settings, ask: Callable[[Node], object]) -> str:
    """Return the error of a request."""
    with open_node(settings) as opened, pytest.raises(ChainError) as caught:
        ask(opened)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_each_interface_tells_the_same(node: ChainNode, kind: str) -> None:
    mined, waiting = spend(make_script(inscribe(b"a"))), spend(make_script(inscribe(b"b")))
    block = node.add(mined)
    node.mempool[get_id(waiting)] = waiting

    with open_node(Settings(bitcoin_url=node.urls[kind])) as opened:
        assert opened.count_blocks() == 1
        assert opened.find_block(1) == get_id(block)
        assert opened.fetch_block(get_id(block)) == serialize(block)
        assert opened.fetch_transaction(get_id(mined)) == serialize(mined)
        assert opened.place_transaction(get_id(mined)) == TransactionPlace(get_id(block), 1, TIME + 1)
        assert opened.place_transaction(get_id(waiting)) == TransactionPlace()
        asks: list[Callable[[], object]] = [
            lambda: opened.find_block(2),
            lambda: opened.fetch_block(NOWHERE),
            lambda: opened.fetch_transaction(NOWHERE),
        ]
        for ask in asks:
            with pytest.raises(NotOnChainError):
                ask()


def test_a_name_and_password_come_from_the_address_or_a_file_that_is_read_each_time(
    node: ChainNode, tmp_path: Path
) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text(f"{NAME}:wrong")
    settings = Settings(bitcoin_url=f"rpc+http://{node.address}", bitcoin_cookie_file=cookie)
    with open_node(settings) as opened:
        with pytest.raises(ChainError, match=r"401.*STARLIGHT_BITCOIN_COOKIE_FILE"):
            opened.count_blocks()
        cookie.write_text(f"{NAME}:{PASSWORD}\n")
        assert opened.count_blocks() == 0
        cookie.unlink()
        with pytest.raises(ChainError, match="STARLIGHT_BITCOIN_COOKIE_FILE cannot be read: No such file"):
            opened.count_blocks()


@pytest.mark.parametrize(
    ("kind", "manner"), [("rpc", "silent"), ("rest", "head"), ("rest", "body"), ("esplora", "chunks")]
)
def test_a_node_that_is_slow_costs_its_time_and_no_more(kind: str, manner: str) -> None:
    with serve_tardily() as server:
        url = f"{kind}+http://secret:password@127.0.0.1:{server.server_address[1]}/{manner}"
        reason = refuse(Settings(bitcoin_url=url, bitcoin_timeout_s=0.1), count_blocks)

    assert "did not answer within 0.1 s (STARLIGHT_BITCOIN_TIMEOUT_S)" in reason
    assert "password" not in reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_sends_too_much_is_not_read_on(node: ChainNode, kind: str) -> None:
    block = node.add()
    node.spoil = lambda data: bytes(MAX_BLOCK_BYTES + MAX_JSON_BYTES)
    settings = Settings(bitcoin_url=node.urls[kind])

    reason = refuse(settings, lambda opened: opened.fetch_block(get_id(block)))

    assert "sends more than" in reason


def test_nobody_at_the_address_is_one_error() -> None:
    url = f"rpc+http://{NAME}:{PASSWORD.partition('/')[0]}@127.0.0.1:{find_free_port()}"

    reason = refuse(Settings(bitcoin_url=url), count_blocks)

    assert "failed: " in reason
    assert "s3cret" not in reason


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_another_kind_are_one_error(node: ChainNode, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    answers: list[object] = [
        None, True, -1, 2**40, "words", [], {}, {"blocks": "1"}, {"blockhash": 5}, [[]],
    ]  # fmt: skip
    with open_node(Settings(bitcoin_url=node.urls[kind])) as opened:
        asks: list[Callable[[], object]] = [opened.count_blocks, partial(opened.find_block, 1)]
        if kind == "rpc":
            asks.append(partial(opened.fetch_block, NOWHERE))
        for answer in answers:
            monkeypatch.setattr(node, "get", lambda path, answer=answer: json.dumps(answer).encode())
            monkeypatch.setattr(node, "call", lambda method, parameters, answer=answer: answer)
            for ask in asks:
                with pytest.raises(ChainError, match="answer"):
                    ask()


def test_what_is_no_json_is_one_error(node: ChainNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "get", lambda path: b"[" * 100_000)
    for kind in ("rest", "esplora"):
        assert "is not JSON" in refuse(Settings(bitcoin_url=node.urls[kind]), count_blocks)


def test_without_a_node_the_setting_is_named() -> None:
    with pytest.raises(ChainError, match="STARLIGHT_BITCOIN_URL"), open_node(Settings()):
        pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:8332", "bitcoin://x", "rpc+http://host:port", "rpc+ftp://host"])
def test_an_address_that_names_no_interface_is_refused_with_the_setting(url: str) -> None:
    with pytest.raises(ValueError, match="bitcoin_url"):
        Settings(bitcoin_url=url)

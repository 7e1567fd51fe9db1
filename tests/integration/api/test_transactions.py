"""`/scan/transaction` and `/transaction/{txid}` with a node, but without a worker."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from tests.kit.api import Api, read_problem
from tests.kit.chain import TIME, get_id, inscribe, make_script, spend
from tests.kit.chain_node import ChainNode, serve_chain
from tests.kit.pictures import encode_pattern

PICTURE = encode_pattern()
TRANSACTION = spend(make_script(inscribe(b"text", "text/plain"), inscribe(PICTURE)), make_script(inscribe(PICTURE)))
IDENTITY = get_id(TRANSACTION)


@pytest.fixture
def node() -> Iterator[ChainNode]:
    with serve_chain() as running:
        yield running


@pytest.fixture
def client(api: Api, node: ChainNode) -> Iterator[TestClient]:
    changed = {"bitcoin_url": node.urls["rpc"], "interactive_wait_s": 0.01}
    service = replace(api.service, settings=api.service.settings.model_copy(update=changed))
    with Api(service).connect_as("stargate") as connected:
        yield connected


def test_images_of_a_transaction_are_shown_as_the_chain_has_them(client: TestClient, node: ChainNode) -> None:
    node.mempool[IDENTITY] = TRANSACTION
    waiting = client.get(f"/transaction/{IDENTITY}").json()
    del node.mempool[IDENTITY]
    node.add(TRANSACTION)

    found = client.get(f"/bitcoin/v1/transaction/{IDENTITY.upper()}?include_images=true&image_format=base64").json()
    without = client.get(f"/transaction/{IDENTITY}?include_images=true").json()

    expected = {"index": 1, "size_bytes": len(PICTURE), "format": "png", "data": base64.b64encode(PICTURE).decode()}
    assert found == {
        "transaction_id": IDENTITY,
        "block_height": 1,
        "timestamp": datetime.fromtimestamp(TIME + 1, UTC).isoformat(),
        "status": "confirmed",
        "total_images": 2,
        "images": [expected, {**expected, "index": 2}],
    }
    assert without["images"][0] == {**expected, "data": ""}
    assert waiting == {
        "transaction_id": IDENTITY, "block_height": 0, "timestamp": "", "status": "unconfirmed", "total_images": 2,
        "images": [],
    }  # fmt: skip


def test_a_transaction_becomes_a_job_of_its_images(client: TestClient, node: ChainNode, engine: Engine) -> None:
    node.add(TRANSACTION)

    problem = read_problem(client.post("/scan/transaction", json={"transaction_id": IDENTITY}), 504)

    assert str(problem["job"]).startswith("/v1/jobs/")
    with engine.connect() as connection:
        refs = connection.execute(text("SELECT refs FROM chunks")).scalar_one()
    assert [ref.rpartition("/")[2] for ref in refs] == [f"bitcoin:{IDENTITY}:i1", f"bitcoin:{IDENTITY}:i2"]


def test_a_transaction_without_images_or_whose_images_nobody_wants_is_answered(
    client: TestClient, node: ChainNode
) -> None:
    text_alone = spend(make_script(inscribe(b"text", "text/plain")))
    node.add(TRANSACTION, text_alone)

    for request in (
        {"transaction_id": get_id(text_alone)},
        {"transaction_id": IDENTITY, "extract_images": False},
    ):
        answer = client.post("/scan/transaction", json=request).json()

        assert (answer["transaction_id"], answer["block_height"]) == (request["transaction_id"], 1)
        assert answer["images"] == []
        summary = answer["scan_results"]
        assert (summary["images_found"], summary["images_scanned"], summary["stego_detected"]) == (0, 0, 0)
        assert summary["processing_time_ms"] > 0
        assert answer["request_id"]


def test_a_batch_has_the_images_of_its_transactions_too(client: TestClient, node: ChainNode, engine: Engine) -> None:
    node.add(TRANSACTION)
    items = [
        {"type": "transaction", "transaction_id": IDENTITY.upper()},
        {"type": "image", "image_data": base64.b64encode(PICTURE).decode()},
        {"type": "transaction", "transaction_id": "ab" * 32},
    ]

    read_problem(client.post("/scan/batch", json={"items": items}), 504)

    with engine.connect() as connection:
        refs = connection.execute(text("SELECT refs FROM chunks")).scalar_one()
    assert [ref.rpartition("/")[2] for ref in refs] == [f"bitcoin:{IDENTITY}:i1", f"bitcoin:{IDENTITY}:i2", "1"]


def test_transactions_of_a_batch_that_cannot_be_resolved_say_why(client: TestClient, node: ChainNode, api: Api) -> None:
    items = [{"type": "transaction", "transaction_id": each} for each in ("ab" * 32, "12")]

    with api.connect_as("another") as without:
        answers = [each.post("/scan/batch", json={"items": items}).json() for each in (client, without)]

    told = [[result["error"] for result in answer["results"]] for answer in answers]
    assert told[0] == [
        "the Bitcoin node does not know this transaction",
        "the id of a transaction must have 64 hexadecimal digits",
    ]
    assert "no Bitcoin node" in told[1][0]
    assert [(answer["processed_items"], answer["total_items"]) for answer in answers] == [(0, 2)] * 2


def test_what_the_node_has_not_is_404_and_what_it_does_not_answer_503_without_its_address(
    client: TestClient, node: ChainNode, caplog: pytest.LogCaptureFixture
) -> None:
    read_problem(client.get(f"/transaction/{'ab' * 32}"), 404)
    read_problem(client.post("/scan/transaction", json={"transaction_id": "ab" * 32}), 404)
    read_problem(client.get("/transaction/12"), 422)
    node.add(TRANSACTION)
    node.spoil = lambda data: data[:-1]

    for response in (
        client.get(f"/transaction/{IDENTITY}"),
        client.post("/scan/transaction", json={"transaction_id": IDENTITY}),
    ):
        problem = read_problem(response, 503)
        assert node.address not in str(problem)
    assert "is cut or damaged" in caplog.text


def test_without_a_node_transactions_cannot_be_resolved(api: Api) -> None:
    with api.connect_as("stargate") as client:
        problem = read_problem(client.post("/scan/transaction", json={"transaction_id": "00" * 32}), 501)
        read_problem(client.get(f"/transaction/{'00' * 32}"), 501)
    assert "no Bitcoin node" in str(problem["message"])

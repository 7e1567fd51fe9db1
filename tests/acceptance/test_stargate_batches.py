"""Stargate's Go client against `starlight up`: batches, transactions and blocks."""

import base64
import json
from pathlib import Path

import pytest

from storage.keys import create_key
from tests.kit.chain import get_id, inscribe, make_script, spend
from tests.kit.chain_node import ChainNode
from tests.kit.go_client import PREFIXES, SAMPLES, SCAN_RESULT, Call, call_like_go, check_shape
from tests.kit.stack import RunningStack
from tests.kit.stargate import TIMESTAMP, write_block


@pytest.fixture(scope="module")
def call(stack: RunningStack) -> Call:
    return call_like_go(stack.addresses["API"], create_key(stack.engine, "stargate-batches", ["submit", "read"]))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_batch_is_scanned(call: Call, prefix: str) -> None:
    images = [(SAMPLES / name).read_bytes() for name in ("stego-raw-photo.jpg", "clean-icon.png")] + [b"no image"]
    items = [{"type": "image", "image_data": base64.b64encode(data).decode()} for data in images]
    items.insert(1, {"type": "transaction", "transaction_id": "00" * 32})

    status, answer = call("POST", f"{prefix}/scan/batch", json.dumps({"items": items}).encode(), "application/json")

    assert status == 200, answer
    check_shape(answer, {"batch_id": str, "total_items": int, "processed_items": int, "stego_detected": int})
    assert (answer["total_items"], answer["processed_items"], answer["stego_detected"]) == (4, 2, 1)
    assert [result["status"] for result in answer["results"]] == ["completed", "failed", "completed", "failed"]
    check_shape(answer["results"][0]["scan_result"], SCAN_RESULT)
    assert "unknown_format" in answer["results"][3]["error"]


@pytest.mark.parametrize(
    "items",
    [[], [{"type": "image", "image_data": "?"}], [{"type": "image", "image_data": "AA=="}] * 51, [{"type": "x"}]],
)
def test_a_wrong_batch_is_refused(call: Call, items: list[dict[str, str]]) -> None:
    status, problem = call("POST", "/scan/batch", json.dumps({"items": items}).encode(), "application/json")

    assert status == 422, problem


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_transaction_is_scanned(call: Call, chain_node: ChainNode, prefix: str) -> None:
    stego, clean = ((SAMPLES / name).read_bytes() for name in ("stego-alpha-opaque.png", "clean-icon.png"))
    chain_node.add(transaction := spend(make_script(inscribe(stego), inscribe(b"text", "text/plain"), inscribe(clean))))
    request = {
        "transaction_id": get_id(transaction),
        "extract_images": True,
        "scan_options": {"confidence_threshold": 0},
    }

    status, answer = call("POST", f"{prefix}/scan/transaction", json.dumps(request).encode(), "application/json")
    looked_up, transaction_shown = call("GET", f"{prefix}/transaction/{get_id(transaction)}?include_images=true")

    assert status == 200, answer
    check_shape(answer, {"transaction_id": str, "block_height": int, "timestamp": str, "request_id": str})
    summary = {"images_found": int, "images_scanned": int, "stego_detected": int, "processing_time_ms": float}
    check_shape(answer["scan_results"], summary)
    assert [answer["scan_results"][name] for name in list(summary)[:3]] == [2, 2, 1]
    for image in answer["images"]:
        check_shape(image, {"index": int, "size_bytes": int, "format": str})
        check_shape(image["scan_result"], SCAN_RESULT)
    assert [image["index"] for image in answer["images"]] == [0, 2]
    assert [image["scan_result"]["stego_type"] for image in answer["images"]] == ["alpha", ""]
    assert looked_up == 200, transaction_shown
    check_shape(transaction_shown, {"transaction_id": str, "block_height": int, "status": str, "total_images": int})
    assert [image["index"] for image in transaction_shown["images"]] == [0, 2]


def test_a_transaction_that_the_node_does_not_know_is_not_found(call: Call) -> None:
    request = {"transaction_id": "00" * 32, "extract_images": True, "scan_options": {}}

    status, problem = call("POST", "/scan/transaction", json.dumps(request).encode(), "application/json")

    assert status == 404
    assert "does not know this transaction" in problem["message"]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_block_is_scanned(call: Call, stack: RunningStack, prefix: str) -> None:
    folder = Path(str(stack.settings["blocks_root"])) / f"84{len(prefix)}_00ab"
    images = {name: (SAMPLES / name).read_bytes() for name in ("stego-raw-photo.jpg", "clean-icon.png")}
    write_block(folder, {"broken.png": b"no image", **images}, {"wish.txt": "a wish", "mint.txt": '{"p": "brc-20"}'})
    (folder / "images" / "out.png").symlink_to("/etc/passwd")
    options = {"extract_message": True, "confidence_threshold": 0.5, "include_metadata": True}
    request = json.dumps({"block_height": int(folder.name.partition("_")[0]), "scan_options": options})

    status, answer = call("POST", f"{prefix}/scan/block", request.encode(), "application/json")

    assert status == 200, answer
    shape = {"block_height": int, "timestamp": int, "total_inscriptions": int, "images_scanned": int,
             "stego_detected": int, "block_hash": str, "processing_time_ms": float, "request_id": str}  # fmt: skip
    check_shape(answer, shape)
    assert (answer["block_hash"], answer["timestamp"]) == ("00ab".ljust(64, "0"), TIMESTAMP)
    assert (answer["total_inscriptions"], answer["images_scanned"], answer["stego_detected"]) == (5, 2, 1)
    by_name = {each["file_name"]: each for each in answer["inscriptions"]}
    assert set(by_name) == {*images, "broken.png", "wish.txt", "mint.txt"}
    for each in by_name.values():
        check_shape(each, {"tx_id": str, "input_index": int, "content_type": str, "content": str, "size_bytes": int,
                           "file_path": str})  # fmt: skip
    found = by_name["stego-raw-photo.jpg"]
    assert (found["tx_id"], found["input_index"], found["content_type"]) == (f"{1:064x}", 1, "image/jpg")
    check_shape(found["scan_result"], SCAN_RESULT)
    # It is not listed.
    assert by_name["clean-icon.png"]["tx_id"] == "unknown_clean-icon.png"
    assert by_name["broken.png"]["scan_result"] is None
    assert "unknown_format" in by_name["broken.png"]["error"]
    assert (by_name["wish.txt"]["content"], by_name["wish.txt"]["scan_result"]) == ("a wish", None)
    assert sorted(path.name for path in folder.iterdir()) == ["block.json", "images", "inscriptions.json"]


@pytest.mark.parametrize("height", [1, -1, "../../etc", "*"])
def test_a_block_that_is_not_there_is_not_found(call: Call, height: object) -> None:
    status, _ = call("POST", "/scan/block", json.dumps({"block_height": height}).encode(), "application/json")

    assert status == (404 if height == 1 else 422)

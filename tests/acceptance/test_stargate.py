"""Stargate's Go client against `starlight up`: the same bytes in requests, and responses parsed as strictly."""

import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from storage.keys import create_key, find_key
from tests.kit.archives import pack_zip
from tests.kit.chain import get_id, inscribe, make_script, spend
from tests.kit.chain_node import ChainNode
from tests.kit.pictures import encode, encode_blank_png, encode_pattern, encode_truncated
from tests.kit.stack import RunningStack
from tests.kit.stargate import TIMESTAMP, write_block, write_form
from tests.kit.threads import PATIENCE_S

SAMPLES = Path(__file__).parents[2] / "samples"
PREFIXES = ("", "/bitcoin/v1")


@pytest.fixture(scope="session")
def key(stack: RunningStack) -> str:
    return create_key(stack.engine, "stargate", ["submit", "read"])


@pytest.fixture(scope="session")
def call(stack: RunningStack, key: str) -> Callable[..., tuple[int, Any]]:
    """Sends a request like the Go client; returns the status and the JSON of the response."""
    address = urlsplit(stack.addresses["API"])

    def send(method: str, path: str, body: bytes = b"", kind: str = "", *, key: str = key) -> tuple[int, Any]:
        head = [f"{method} {path} HTTP/1.1", f"Host: {address.netloc}", "User-Agent: Go-http-client/1.1"]
        if method == "POST":
            head.append(f"Content-Length: {len(body)}")
        head.append(f"Authorization: Bearer {key}")
        if kind:
            head.append(f"Content-Type: {kind}")
        head += ["Accept-Encoding: gzip", "Connection: close", "", ""]
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
            connection.sendall("\r\n".join(head).encode() + body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head_of_answer, _, content = answer.partition(b"\r\n\r\n")
        return int(head_of_answer.split()[1]), json.loads(content)

    return send


# What Go's structs hold: a JSON number decodes into an int only without a fraction, null into nothing but a pointer.
SCAN_RESULT = {
    "is_stego": bool, "stego_probability": float, "confidence": float, "prediction": str, "stego_type": str,
    "extracted_message": str, "extraction_error": str,
}  # fmt: skip

EXTRACTION_RESULT = {"message_found": bool, "message": str, "method_used": str, "method_confidence": float}


def check_shape(value: dict[str, Any], shape: dict[str, type]) -> dict[str, Any]:
    """Return the object; fails unless its members have these types."""
    for name, kind in shape.items():
        assert isinstance(value[name], (int, float) if kind is float else kind), (name, value[name])
        assert kind is bool or not isinstance(value[name], bool), name
    return value


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_client_finds_the_scanner_ready(call: Callable[..., tuple[int, Any]], prefix: str) -> None:
    status, health = call("GET", f"{prefix}/health")

    assert status == 200
    assert health["scanner"]["model_loaded"] is True
    check_shape(health, {"status": str, "version": str, "timestamp": str})
    scanner = check_shape(health["scanner"], {"model_version": str, "model_path": str, "device": str})
    assert scanner["model_version"].startswith("starlight-v4-")
    assert scanner["device"] == "cpu0, cpu1"
    status, info = call("GET", f"{prefix}/info", key="")
    assert status == 200
    assert info["stego_methods"] == ["alpha", "palette", "lsb.rgb", "exif", "raw"]
    check_shape(
        info, {"name": str, "version": str, "supported_formats": list, "max_image_size": int, "endpoints": dict}
    )


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("sample", ["stego-raw-photo.jpg", "stego-lsb.rgb-msb-first-gradient.png", "clean-icon.png"])
def test_an_image_is_scanned(call: Callable[..., tuple[int, Any]], prefix: str, sample: str) -> None:
    data = (SAMPLES / sample).read_bytes()
    body, kind = write_form(data, extract_message="true", confidence_threshold="0.00", include_metadata="true")

    status, answer = call("POST", f"{prefix}/scan/image", body, kind)

    assert status == 200, answer
    result = check_shape(answer["scan_result"], SCAN_RESULT)
    stego = sample.startswith("stego")
    assert result["is_stego"] is stego
    assert result["prediction"] == ("stego" if stego else "clean")
    assert bool(result["extracted_message"]) is stego
    assert (result["method_id"], result["stego_type"]) in ((4, "raw"), (2, "lsb.rgb"), (None, ""))
    assert answer["image_info"]["filename"] == "image.png"
    assert answer["image_info"]["size_bytes"] == len(data)
    check_shape(answer, {"processing_time_ms": float, "request_id": str})


def test_the_message_is_left_out_where_it_is_not_wanted(call: Callable[..., tuple[int, Any]]) -> None:
    body, kind = write_form((SAMPLES / "stego-raw-photo.jpg").read_bytes(), extract_message="false")

    _, answer = call("POST", "/scan/image", body, kind)

    assert answer["scan_result"]["is_stego"] is True
    assert answer["scan_result"]["extracted_message"] == ""


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"Just some text of an inscription.", "unknown_format"),
        (SVG, "unknown_format"),
        (b'{"p":"brc-20","op":"mint","tick":"ordi","amt":"1000"}', "unknown_format"),
        (b"", "empty"),
        (encode_truncated(), "truncated"),
        (encode_blank_png(14_000, 14_000), "too_many_pixels"),
    ],
)
def test_what_is_no_image_opens_no_circuit_breaker(
    call: Callable[..., tuple[int, Any]], image: bytes, reason: str
) -> None:
    scan = write_form(image, extract_message="true", confidence_threshold="0.50", include_metadata="true")

    scanned, extracted = call("POST", "/scan/image", *scan), call("POST", "/extract", *write_form(image, method="lsb"))

    assert (scanned[0], extracted[0]) == (200, 200)
    result = check_shape(scanned[1]["scan_result"], SCAN_RESULT)
    assert (result["is_stego"], result["prediction"], result["stego_probability"]) == (False, "clean", 0)
    assert reason in result["extraction_error"]
    found = check_shape(extracted[1]["extraction_result"], EXTRACTION_RESULT)
    assert (found["message_found"], found["message"]) == (False, "")
    assert reason in found["extraction_details"]["error"]
    for answer in (scanned[1], extracted[1]):
        check_shape(answer["image_info"], {"filename": str, "size_bytes": int, "format": str, "dimensions": str})
        assert answer["image_info"]["size_bytes"] == len(image)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"confidence_threshold": "1.01"}, "confidence_threshold"),
        ({"confidence_threshold": "nan"}, "confidence_threshold"),
        ({"confidence_threshold": "much"}, "confidence_threshold"),
        ({"extract_message": "perhaps"}, "extract_message"),
    ],
)
def test_a_wrong_field_is_told(call: Callable[..., tuple[int, Any]], fields: dict[str, str], complaint: str) -> None:
    status, problem = call("POST", "/scan/image", *write_form(encode_pattern("PNG"), **fields))

    assert status == 422
    assert complaint in problem["detail"]


@pytest.mark.parametrize(("threshold", "truth"), [("1.00", "true"), ("1", "1"), ("0.99", "True"), ("0.10", "on")])
def test_thresholds_and_truth_values_are_taken_as_they_are_written(
    call: Callable[..., tuple[int, Any]], threshold: str, truth: str
) -> None:
    fields = {"extract_message": truth, "confidence_threshold": threshold, "include_metadata": truth}

    status, answer = call("POST", "/scan/image", *write_form(encode_pattern("PNG"), **fields))

    assert status == 200, answer
    assert answer["scan_result"]["is_stego"] is False


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("sample", "method", "used", "found"),
    [
        ("stego-raw-photo.jpg", "", "raw", True),
        ("stego-exif-ascii.jpg", "exif", "exif", True),
        ("stego-palette-msb-first-sprite.gif", "palette", "palette", True),
        ("stego-raw-photo.jpg", "exif", "exif", False),
        ("clean-icon.png", "", "", False),
    ],
)
def test_a_message_is_extracted(
    call: Callable[..., tuple[int, Any]], prefix: str, sample: str, method: str, used: str, found: bool
) -> None:
    data = (SAMPLES / sample).read_bytes()

    status, answer = call("POST", f"{prefix}/extract", *write_form(data, method=method))

    assert status == 200, answer
    result = check_shape(answer["extraction_result"], EXTRACTION_RESULT)
    details = check_shape(
        result["extraction_details"], {"bits_extracted": int, "encoding": str, "corruption_detected": bool}
    )
    assert (result["message_found"], result["method_used"]) == (found, used)
    if found:
        assert details == {
            "bits_extracted": 8 * len(result["message"].encode()), "encoding": "utf-8", "corruption_detected": False,
            "truncated": False, "error": "",
        }  # fmt: skip
        assert result["method_confidence"] > 0.5
    else:
        assert result["method_confidence"] == 0


def test_a_message_is_extracted_from_what_is_left_of_a_damaged_image(call: Callable[..., tuple[int, Any]]) -> None:
    data = (SAMPLES / "stego-lsb.rgb-msb-first-gradient.png").read_bytes()
    _, whole = call("POST", "/extract", *write_form(data))

    status, damaged = call("POST", "/extract", *write_form(data[: int(0.9 * len(data))]))

    assert status == 200, damaged
    assert damaged["extraction_result"]["message_found"]
    assert damaged["extraction_result"]["message"] == whole["extraction_result"]["message"]


@pytest.mark.parametrize(
    ("cover", "method", "used"),
    [
        (encode_pattern("PNG", size=(64, 64)), "alpha", "alpha"),
        (encode_pattern("PNG", size=(90, 90)), "lsb", "lsb.rgb"),
        (encode_pattern("JPEG", size=(64, 64)), "exif", "exif"),
        (encode_pattern("GIF", "P", (90, 90)), "palette", "palette"),
        (encode_pattern("JPEG", size=(64, 64)), "eoi", "raw"),
    ],
)
def test_what_is_inscribed_is_found_when_it_comes_back(
    call: Callable[..., tuple[int, Any]], cover: bytes, method: str, used: str
) -> None:
    message = "# A wish\n\nPlease paint the fence by Friday.\n\n[stargate-ts:1764316800]"
    _, inscribed = call("POST", "/inscribe", *write_form(cover, message=message, method=method))
    body, kind = write_form(
        base64.b64decode(inscribed["image_base64"]),
        extract_message="true",
        confidence_threshold="0.1",
        include_metadata="true",
    )

    _, found = call("POST", "/scan/image", body, kind)

    result = found["scan_result"]
    assert (result["is_stego"], result["stego_type"], result["extracted_message"]) == (True, used, message)


@pytest.mark.parametrize(
    ("sample", "method", "used"),
    [
        ("stego-lsb.rgb-msb-first-gradient.png", "lsb", "lsb.rgb"),
        ("stego-raw-photo.jpg", "eoi", "raw"),
        ("stego-raw-photo.jpg", "auto", "raw"),
        ("stego-raw-photo.jpg", "--help", "raw"),
        ("stego-raw-photo.jpg", "EXIF", "exif"),
    ],
)
def test_methods_have_stargates_names_and_v4_chooses_where_there_is_none(
    call: Callable[..., tuple[int, Any]], sample: str, method: str, used: str
) -> None:
    status, answer = call("POST", "/extract", *write_form((SAMPLES / sample).read_bytes(), method=method))

    result = answer["extraction_result"]
    assert (status, result["method_used"], result["message_found"]) == (200, used, method != "EXIF")


def test_a_payload_that_is_no_text_is_a_message_in_base64(call: Callable[..., tuple[int, Any]]) -> None:
    hidden = pack_zip({"plan.txt": b"north gate " * 40, "map.bin": bytes(range(256)) * 8})

    status, answer = call("POST", "/extract", *write_form(encode_pattern("JPEG", size=(64, 64)) + hidden, method=""))

    result = check_shape(answer["extraction_result"], EXTRACTION_RESULT)
    assert (status, result["message_found"], result["method_used"]) == (200, True, "raw")
    assert base64.b64decode(result["message"], validate=True) == hidden
    details = result["extraction_details"]
    assert (details["encoding"], details["bits_extracted"], details["truncated"]) == ("base64", 8 * len(hidden), False)


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
def test_a_plain_opaque_image_hides_nothing_in_its_alpha(call: Callable[..., tuple[int, Any]], mode: str) -> None:
    plain = encode(Image.new(mode, (64, 64), "seagreen"), "PNG")

    _, answer = call("POST", "/extract", *write_form(plain, method="alpha"))

    assert answer["extraction_result"]["message_found"] is False
    assert answer["extraction_result"]["message"] == ""


def test_a_manifest_comes_whole_however_long_it_is(call: Callable[..., tuple[int, Any]]) -> None:
    tasks = [{"task_id": f"task-{number}", "title": f"Paint fence {number}"} for number in range(3000)]
    manifest = json.dumps({"schema_version": 2, "proposal": {"id": "p-1"}, "tasks": tasks})
    assert 100_000 < len(manifest) < 2**20
    cover = encode_pattern("JPEG", size=(64, 64))
    # Stargate's earlier scanner wrote payloads after the end of an image like this.
    stego = cover + b"AI42" + manifest.encode() + b"\x00"

    _, scanned = call("POST", "/scan/image", *write_form(stego, extract_message="true"))
    _, extracted = call("POST", "/extract", *write_form(stego, method="eoi"))
    item = {"type": "image", "image_data": base64.b64encode(stego).decode()}
    _, batch = call("POST", "/scan/batch", json.dumps({"items": [item]}).encode(), "application/json")

    assert scanned["scan_result"]["extracted_message"] == manifest
    assert extracted["extraction_result"]["message"] == manifest
    assert extracted["extraction_result"]["extraction_details"]["truncated"] is False
    assert batch["results"][0]["scan_result"]["extracted_message"] == manifest


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_batch_is_scanned(call: Callable[..., tuple[int, Any]], prefix: str) -> None:
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
def test_a_wrong_batch_is_refused(call: Callable[..., tuple[int, Any]], items: list[dict[str, str]]) -> None:
    status, problem = call("POST", "/scan/batch", json.dumps({"items": items}).encode(), "application/json")

    assert status == 422, problem


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_transaction_is_scanned(call: Callable[..., tuple[int, Any]], chain_node: ChainNode, prefix: str) -> None:
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


def test_a_transaction_that_the_node_does_not_know_is_not_found(call: Callable[..., tuple[int, Any]]) -> None:
    request = {"transaction_id": "00" * 32, "extract_images": True, "scan_options": {}}

    status, problem = call("POST", "/scan/transaction", json.dumps(request).encode(), "application/json")

    assert status == 404
    assert "does not know this transaction" in problem["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/scan/image"),
        ("POST", "/extract"),
        ("POST", "/scan/batch"),
        ("POST", "/scan/block"),
        ("POST", "/inscribe"),
    ],
)
def test_without_a_key_nothing_is_scanned(call: Callable[..., tuple[int, Any]], method: str, path: str) -> None:
    assert call(method, path, key="")[0] == 401


def test_a_key_that_only_reads_scans_nothing(call: Callable[..., tuple[int, Any]], stack: RunningStack) -> None:
    reading = create_key(stack.engine, "reader", ["read"])

    assert find_key(stack.engine, reading) is not None
    assert call("POST", "/scan/image", *write_form(encode_pattern("PNG")), key=reading)[0] == 403


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_block_is_scanned(call: Callable[..., tuple[int, Any]], stack: RunningStack, prefix: str) -> None:
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
def test_a_block_that_is_not_there_is_not_found(call: Callable[..., tuple[int, Any]], height: object) -> None:
    status, _ = call("POST", "/scan/block", json.dumps({"block_height": height}).encode(), "application/json")

    assert status == (404 if height == 1 else 422)

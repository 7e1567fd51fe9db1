"""Stargate's Go client against `starlight up`: the same bytes in requests, and responses parsed as strictly."""

import pytest

from storage.keys import create_key, find_key
from tests.kit.go_client import EXTRACTION_RESULT, PREFIXES, SAMPLES, SCAN_RESULT, Call, call_like_go, check_shape
from tests.kit.pictures import encode_blank_png, encode_pattern, encode_truncated
from tests.kit.stack import RunningStack
from tests.kit.stargate import write_form


@pytest.fixture(scope="module")
def call(stack: RunningStack) -> Call:
    return call_like_go(stack.addresses["API"], create_key(stack.engine, "stargate", ["submit", "read"]))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_client_finds_the_scanner_ready(call: Call, prefix: str) -> None:
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
def test_an_image_is_scanned(call: Call, prefix: str, sample: str) -> None:
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


def test_the_message_is_left_out_where_it_is_not_wanted(call: Call) -> None:
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
def test_what_is_no_image_opens_no_circuit_breaker(call: Call, image: bytes, reason: str) -> None:
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
def test_a_wrong_field_is_told(call: Call, fields: dict[str, str], complaint: str) -> None:
    status, problem = call("POST", "/scan/image", *write_form(encode_pattern("PNG"), **fields))

    assert status == 422
    assert complaint in problem["detail"]


@pytest.mark.parametrize(("threshold", "truth"), [("1.00", "true"), ("1", "1"), ("0.99", "True"), ("0.10", "on")])
def test_thresholds_and_truth_values_are_taken_as_they_are_written(call: Call, threshold: str, truth: str) -> None:
    fields = {"extract_message": truth, "confidence_threshold": threshold, "include_metadata": truth}

    status, answer = call("POST", "/scan/image", *write_form(encode_pattern("PNG"), **fields))

    assert status == 200, answer
    assert answer["scan_result"]["is_stego"] is False


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
def test_without_a_key_nothing_is_scanned(call: Call, method: str, path: str) -> None:
    assert call(method, path, key="")[0] == 401


def test_a_key_that_only_reads_scans_nothing(call: Call, stack: RunningStack) -> None:
    reading = create_key(stack.engine, "reader", ["read"])

    assert find_key(stack.engine, reading) is not None
    assert call("POST", "/scan/image", *write_form(encode_pattern("PNG")), key=reading)[0] == 403

"""Stargate's Go client against `starlight up`: messages of every kind, extracted whole."""

import base64
import json

import pytest
from PIL import Image

from storage.keys import create_key
from tests.kit.archives import pack_zip
from tests.kit.go_client import EXTRACTION_RESULT, PREFIXES, SAMPLES, Call, call_like_go, check_shape
from tests.kit.pictures import encode, encode_pattern
from tests.kit.stack import RunningStack
from tests.kit.stargate import write_form


@pytest.fixture(scope="module")
def call(stack: RunningStack) -> Call:
    return call_like_go(stack.addresses["API"], create_key(stack.engine, "stargate-messages", ["submit", "read"]))


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
def test_a_message_is_extracted(call: Call, prefix: str, sample: str, method: str, used: str, found: bool) -> None:
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


def test_a_message_is_extracted_from_what_is_left_of_a_damaged_image(call: Call) -> None:
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
def test_what_is_inscribed_is_found_when_it_comes_back(call: Call, cover: bytes, method: str, used: str) -> None:
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
    call: Call, sample: str, method: str, used: str
) -> None:
    status, answer = call("POST", "/extract", *write_form((SAMPLES / sample).read_bytes(), method=method))

    result = answer["extraction_result"]
    assert (status, result["method_used"], result["message_found"]) == (200, used, method != "EXIF")


def test_a_payload_that_is_no_text_is_a_message_in_base64(call: Call) -> None:
    hidden = pack_zip({"plan.txt": b"north gate " * 40, "map.bin": bytes(range(256)) * 8})

    status, answer = call("POST", "/extract", *write_form(encode_pattern("JPEG", size=(64, 64)) + hidden, method=""))

    result = check_shape(answer["extraction_result"], EXTRACTION_RESULT)
    assert (status, result["message_found"], result["method_used"]) == (200, True, "raw")
    assert base64.b64decode(result["message"], validate=True) == hidden
    details = result["extraction_details"]
    assert (details["encoding"], details["bits_extracted"], details["truncated"]) == ("base64", 8 * len(hidden), False)


@pytest.mark.parametrize("mode", ["RGBA", "RGB"])
def test_a_plain_opaque_image_hides_nothing_in_its_alpha(call: Call, mode: str) -> None:
    plain = encode(Image.new(mode, (64, 64), "seagreen"), "PNG")

    _, answer = call("POST", "/extract", *write_form(plain, method="alpha"))

    assert answer["extraction_result"]["message_found"] is False
    assert answer["extraction_result"]["message"] == ""


def test_a_manifest_comes_whole_however_long_it_is(call: Call) -> None:
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

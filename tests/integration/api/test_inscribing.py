"""`POST /inscribe` with Stargate's bytes: what its handlers read of the response, and what is refused."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from starlight_vocabulary.words import BitOrder
from storage.settings import Settings
from tests.kit.api import Api, read_problem
from tests.kit.folders import list_stored_files
from tests.kit.pictures import decode, encode_blank_png, encode_pattern
from tests.kit.receiver import receive_webhooks
from tests.kit.stargate import take_ingestion, write_form
from worker.image_reading import MESSAGE_BYTES
from worker.v4.extraction import read_payload

WISH = "Please paint the fence by Friday.\n\n[stargate-ts:1764316800]"
PNG = encode_pattern("PNG", size=(64, 64))
# Half of a surrogate pair, in UTF-7.
SURROGATE = "+2AA-"


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    """Bodies may be as large as an image with the longest message."""
    return api_settings.model_copy(update={"max_upload_bytes": 2 * MESSAGE_BYTES})


@pytest.fixture
def stargate(ann: TestClient) -> Iterator[TestClient]:
    with ann:
        yield ann


def inscribe(client: TestClient, image: bytes, path: str = "/inscribe", **fields: str) -> httpx.Response:
    body, kind = write_form(image, **fields)
    answer: httpx.Response = client.post(path, content=body, headers={"Content-Type": kind})
    return answer


COVERS = [
    (PNG, "", "alpha", "image.png"),
    (PNG, "auto", "alpha", "image.png"),
    (PNG, "LSB", "lsb.rgb", "image.png"),
    (encode_pattern("JPEG", size=(64, 64)), "eoi", "raw", "image.jpg"),
    (encode_pattern("GIF", "P", (90, 90)), "auto", "palette", "image.gif"),
]
ALPHA = {"message": WISH, "method": "alpha"}
REFUSED = [
    (encode_pattern("PNG"), ALPHA, 422, "has 59 bytes, and alpha has room for 3 in"),
    (encode_pattern("JPEG"), ALPHA, 422, "JPEG: it is lossy"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ALPHA, 422, "unknown_format"),
    (b"", ALPHA, 422, "not an image"),
    (encode_blank_png(14_000, 14_000), ALPHA, 422, "too_many_pixels"),
    (PNG, {"message": "", "method": "alpha"}, 422, "needs text"),
    (PNG, {"method": "alpha"}, 422, "needs text"),
    (PNG, {"message": WISH, "method": "magic"}, 422, "method: must be one of alpha, palette, lsb.rgb, exif, raw, lsb"),
    (PNG.ljust(50_001), ALPHA, 413, "the image is larger than 50,000 bytes"),
    (PNG, {"message": "a" * (MESSAGE_BYTES + 1), "method": "raw"}, 400, "exceeded maximum size"),
]


@pytest.mark.parametrize("path", ["/inscribe", "/bitcoin/v1/inscribe"])
def test_stargates_handlers_find_what_they_read(stargate: TestClient, api_settings: Settings, path: str) -> None:
    answer = inscribe(stargate, PNG, path, file_name="placeholder.png", **ALPHA)

    assert answer.status_code == 200, answer.text
    read: dict[str, Any] = answer.json()
    stego = base64.b64decode(read["image_base64"], validate=True)
    assert read["image_sha256"] == hashlib.sha256(stego).hexdigest()
    assert read["id"] == read["request_id"] == answer.headers["x-request-id"]
    assert (read["method"], read["message_length"], read["image_bytes"]) == ("alpha", len(WISH), len(stego))
    assert (read["output_file"], read["status"]) == ("placeholder.png", "pending_upload")
    # Stargate's handler checks this in responses with the status 200.
    assert "error" not in read
    assert read_payload(decode(stego), stego, "alpha", BitOrder.LSB_FIRST).payload.text == WISH
    assert list_stored_files(api_settings.data_dir) == []


def test_methods_have_stargates_names_too_and_a_message_has_up_to_a_mebibyte(stargate: TestClient) -> None:
    answers = [inscribe(stargate, cover, message=WISH, method=method).json() for cover, method, _, _ in COVERS]
    longest = inscribe(stargate, PNG, message="a" * MESSAGE_BYTES, method="raw").json()

    assert [(each["method"], each["output_file"]) for each in answers] == [(used, name) for *_, used, name in COVERS]
    assert longest["message_length"] == MESSAGE_BYTES


def test_what_cannot_be_is_refused_with_the_reason(stargate: TestClient, subtests: pytest.Subtests) -> None:
    for image, fields, status, complaint in REFUSED:
        with subtests.test(complaint):
            problem = read_problem(inscribe(stargate, image, **fields), status)

            # Stargate's handler shows this text to a person.
            assert complaint in str(problem["message"])
            assert isinstance(problem["error"], str)


def test_a_message_that_is_no_text_is_a_wrong_field(stargate: TestClient) -> None:
    parts = f'--b\r\nContent-Disposition: form-data; name="message"\r\n\r\n{SURROGATE}\r\n'.encode()
    parts += b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--b--\r\n"

    answer = stargate.post(
        "/inscribe", content=parts, headers={"Content-Type": "multipart/form-data; boundary=b; charset=utf-7"}
    )

    assert "is not valid text" in str(read_problem(answer, 422)["detail"])


def test_without_a_key_it_is_taken_where_that_is_set_and_nothing_else_is(api: Api) -> None:
    body, kind = write_form(PNG, **ALPHA)
    headers = {"Content-Type": kind}
    changed = {"inscribe_without_key": True, "rate_limit_per_minute": 1}
    opened = Api(replace(api.service, settings=api.service.settings.model_copy(update=changed)))

    read_problem(api.connect().post("/inscribe", content=body, headers=headers), 401)
    with opened.connect() as client:
        assert client.post("/inscribe", content=body, headers=headers).status_code == 200
        read_problem(client.post("/inscribe", content=body, headers=headers), 429)
        read_problem(client.post("/scan/image", content=body, headers=headers), 401)
        read_problem(client.get("/inscribe"), 401)
        wrong = client.post("/inscribe", content=body, headers={**headers, "Authorization": "Bearer starlight_a_b"})
        read_problem(wrong, 401)


def test_an_inscription_is_handed_on_to_stargate_where_that_is_set(api: Api) -> None:
    with receive_webhooks() as receiver:
        receiver.statuses = [200, 500]
        changed = {
            "stargate_ingest_url": receiver.url,
            "stargate_ingest_token": SecretStr("a token"),
            "fetch_allowed_networks": (ip_network("127.0.0.0/8"),),
        }
        handing_on = Api(replace(api.service, settings=api.service.settings.model_copy(update=changed)))
        with handing_on.connect_as("stargate") as client:
            taken, refused = (inscribe(client, PNG, **ALPHA).json() for _ in range(2))

    (headers, body), _ = receiver.messages
    status, read = take_ingestion({name.lower(): value for name, value in headers.items()}, body, "a token")
    assert status == 200
    assert (read["id"], read["image_base64"]) == (taken["id"], taken["image_base64"])
    assert read["metadata"] == {"embedded_message": WISH}
    assert (taken["status"], refused["status"]) == ("ingested", "pending_upload")
    assert refused["image_base64"]

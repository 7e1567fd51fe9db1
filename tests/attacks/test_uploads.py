"""Requests that would make others wait for locks of the database, or that would together exceed a limit."""

import json
import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.attacks.conftest import ServedApi
from tests.kit.changes import wait_for_change
from tests.kit.pictures import encode_pattern
from tests.kit.threads import PATIENCE_S, start_thread

LINE = b'"https://example.com/1.png"\n'
NDJSON = {"Content-Type": "application/x-ndjson"}
AT_ONCE = 20
MAX_WAITING = 1000
SURROGATE = "+2AA-"


@pytest.fixture(scope="module")
def limits() -> dict[str, object]:
    return {"max_waiting_images_per_key": MAX_WAITING}


def count_rows(engine: Engine, table: str) -> int:
    """Return the number of rows in a table."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_a_key_that_is_in_use_keeps_nobody_waiting(served: ServedApi) -> None:
    go_on = threading.Event()

    def write_slowly() -> Iterator[bytes]:
        yield LINE
        assert go_on.wait(PATIENCE_S), "the others were kept waiting"
        yield LINE

    headers = {**NDJSON, "Idempotency-Key": "k"}
    with served.connect() as client:
        slow = start_thread(lambda: client.post("/v1/jobs", content=write_slowly(), headers=headers))
        wait_for_change(served.engine, "uploads", lambda: count_rows(served.engine, "uploads") == 1)
        refused = [client.post("/v1/jobs", content=LINE, headers=headers) for _ in range(AT_ONCE)]
        other = client.post("/v1/jobs", content=LINE, headers={**NDJSON, "Idempotency-Key": "other"})
        go_on.set()
        first = slow.result()
        again = client.post("/v1/jobs", content=LINE, headers=headers)

    assert {(answer.status_code, answer.headers.get("retry-after")) for answer in refused} == {(409, "5")}
    assert other.status_code == 202
    assert (first.status_code, first.json()["total"]) == (202, 2)
    assert again.json()["id"] == first.json()["id"]
    assert count_rows(served.engine, "uploads") == 0


def test_a_client_that_goes_away_in_the_middle_leaves_its_key_free(served: ServedApi) -> None:
    headers = {**NDJSON, "Idempotency-Key": "k"}

    def break_off() -> Iterator[bytes]:
        yield LINE
        wait_for_change(served.engine, "uploads", lambda: count_rows(served.engine, "uploads") == 1)
        raise ConnectionAbortedError

    with served.connect() as client:
        with pytest.raises(ConnectionAbortedError):
            client.post("/v1/jobs", content=break_off(), headers=headers)
        wait_for_change(served.engine, "uploads", lambda: count_rows(served.engine, "uploads") == 0)

        assert client.post("/v1/jobs", content=LINE, headers=headers).status_code == 202


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json"])
def test_a_job_that_is_larger_than_what_may_wait_is_refused_while_it_comes_in(served: ServedApi, kind: str) -> None:
    references = ["https://example.com/1.png"] * (MAX_WAITING + 1)
    body = LINE * len(references) if kind == NDJSON["Content-Type"] else json.dumps({"references": references}).encode()

    with served.connect() as client:
        refused = client.post("/v1/jobs", content=body, headers={"Content-Type": kind})

    assert (refused.status_code, refused.headers.get("retry-after")) == (429, "10")
    assert f"{MAX_WAITING:,}" in refused.json()["detail"]
    assert (count_rows(served.engine, "jobs"), count_rows(served.engine, "chunks")) == (0, 0)


@pytest.mark.parametrize("route", ["/v1/jobs", "/scan/image", "/extract", "/inscribe"])
def test_a_file_name_that_is_no_text_is_a_wrong_field(served: ServedApi, route: str) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="image"; filename="{SURROGATE}.png"\r\n\r\n'.encode()
    body = head + encode_pattern("PNG") + b"\r\n--b--\r\n"

    with served.connect() as client:
        refused = client.post(
            route, content=body, headers={"Content-Type": "multipart/form-data; boundary=b; charset=utf-7"}
        )

    assert refused.status_code == 422, refused.text
    assert "name is not valid text" in refused.json()["detail"]
    assert count_rows(served.engine, "blobs") == 0

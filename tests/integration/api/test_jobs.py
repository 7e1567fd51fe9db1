"""Jobs through the API: submitted in every form, listed, shown and cancelled."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from starlette.testclient import TestClient

from storage.blobs import Blobs
from storage.settings import Settings
from tests.kit.api import Api, read_problem
from tests.kit.archives import pack_tar, pack_zip
from tests.kit.object_store import ObjectStore
from tests.kit.pictures import encode_pattern
from tests.kit.rows import claim_waiting_chunks, read_job

PNG = encode_pattern("PNG")


def read_references(engine: Engine, job_id: str) -> list[str]:
    """Return the references of a job, in order."""
    query = text("SELECT unnest(refs) FROM chunks WHERE job_id = :id ORDER BY first_ordinal")
    with engine.connect() as connection:
        return list(connection.execute(query, {"id": job_id}).scalars())


def submit(client: TestClient, *references: str, **options: object) -> dict[str, Any]:
    response = client.post("/v1/jobs", json={"references": references, **options})
    assert response.status_code == 202, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_references_become_a_job_before_anything_is_scanned(ann: TestClient, engine: Engine, root: Path) -> None:
    (root / "a b.png").write_bytes(PNG)
    references = ["https://example.com/1.png", "s3://bucket/2.png", (root / "a b.png").as_uri()]

    job = submit(ann, *references, name="june", priority="interactive", threshold=0.25)

    assert (job["name"], job["submitter"], job["priority"], job["threshold"]) == ("june", "ann", "interactive", 0.25)
    assert (job["state"], job["total"], job["finished"]) == ("pending", 3, 0)
    assert job["links"]["job"] == f"/v1/jobs/{job['id']}"
    assert read_references(engine, job["id"]) == references
    assert ann.get(job["links"]["job"]).json() == job


def test_a_prefix_of_a_bucket_is_listed_where_the_key_may_name_it(
    ann: TestClient, engine: Engine, object_store: ObjectStore
) -> None:
    object_store.objects |= {f"/bucket/june/{number}.png": PNG for number in range(3)}
    expected = [f"s3://bucket/june/{number}.png" for number in range(3)]

    job = submit(ann, "s3://bucket/june/", "https://example.com/1.png")
    lines = ann.post("/v1/jobs", content=b'"s3://bucket/"\n', headers={"Content-Type": "application/x-ndjson"})

    assert read_references(engine, job["id"]) == [*expected, "https://example.com/1.png"]
    assert read_references(engine, lines.json()["id"]) == expected
    for reference, reason in {
        "s3://other/": "references.0: is outside the buckets",
        "gs://bucket/": "references.0: is outside the buckets",
        "s3://bucket/none/": "there is no image",
    }.items():
        refused = ann.post("/v1/jobs", json={"references": [reference]})
        assert reason in str(read_problem(refused, 422)["detail"])
    object_store.answers = False
    assert ann.post("/v1/jobs", json={"references": ["s3://bucket/june/"]}).status_code == 503


def test_the_same_idempotency_key_answers_the_same_job(ann: TestClient, api: Api) -> None:
    body = {"references": ["https://example.com/1.png"]}

    first, again = (ann.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2))
    other = api.connect_as("bob").post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}).json()

    assert first["id"] == again["id"]
    assert other["id"] != first["id"]


def test_a_form_of_images_is_stored_as_blobs(ann: TestClient, engine: Engine, api_settings: Settings) -> None:
    files = [("images", ("ä b.png", PNG)), ("any", ("two.png", PNG + b"2"))]

    response = ann.post("/v1/jobs", files=files, data={"name": "form", "threshold": "0.5"})

    job = response.json()
    assert response.status_code == 202, response.text
    assert response.headers["location"] == job["links"]["job"]
    assert (job["name"], job["threshold"], job["total"]) == ("form", 0.5, 2)
    first, second = read_references(engine, job["id"])
    blobs = Blobs(api_settings.blobs())
    assert first.endswith("/%C3%A4%20b.png")
    assert [blobs.get(uri.split("/")[2], 10**6) for uri in (first, second)] == [PNG, PNG + b"2"]


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("application/zip", pack_zip),
        ("application/x-tar", pack_tar),
        ("application/gzip", lambda members: pack_tar(members, mode="w:gz")),
    ],
)
def test_an_archive_is_unpacked(
    ann: TestClient, engine: Engine, kind: str, pack: Callable[[Mapping[str, bytes]], bytes]
) -> None:
    body = pack({"one": PNG, "two": b"no image"})

    response = ann.post("/v1/jobs?name=many", content=body, headers={"Content-Type": kind})

    assert response.status_code == 202, response.text
    assert (response.json()["name"], response.json()["total"]) == ("many", 2)
    names = [uri.rpartition("/")[2] for uri in read_references(engine, response.json()["id"])]
    assert names == ["one", "two"]


def test_a_key_has_one_archive_unpacked_at_a_time_and_all_keys_a_few(ann: TestClient, api: Api) -> None:
    body, headers = pack_zip({"one": PNG}), {"Content-Type": "application/zip"}

    with api.service.unpacking.hold("ann"):
        own = ann.post("/v1/jobs", content=body, headers=headers)
        with api.service.unpacking.hold("bob"):
            none_left = api.connect_as("carol").post("/v1/jobs", content=body, headers=headers)

    assert "of this key" in str(read_problem(own, 429)["detail"])
    assert "STARLIGHT_UNPACK_PROCESSES" in str(read_problem(none_left, 503)["detail"])
    assert int(own.headers["retry-after"]) > 0
    assert int(none_left.headers["retry-after"]) > 0
    assert ann.post("/v1/jobs", content=body, headers=headers).status_code == 202


def test_an_archive_that_is_refused_leaves_room_for_the_next_and_tells_no_path(ann: TestClient) -> None:
    headers = {"Content-Type": "application/zip"}

    refused = ann.post("/v1/jobs", content=pack_zip({str(number): b"" for number in range(51)}), headers=headers)

    assert str(read_problem(refused, 413)["detail"]).startswith("the archive has more than 50 entries")
    assert ann.post("/v1/jobs", content=pack_zip({"one": PNG}), headers=headers).status_code == 202


def test_a_damaged_archive_keeps_its_place_and_tells_no_path_of_this_machine(ann: TestClient, engine: Engine) -> None:
    body = pack_tar({"one": PNG, "two": PNG})[:1500] + b"\1" * 2000

    response = ann.post("/v1/jobs", content=body, headers={"Content-Type": "application/x-tar"})

    assert response.status_code == 202, response.text
    references = read_references(engine, response.json()["id"])
    assert all(uri.startswith(("blob://", "file:///upload.tar#")) for uri in references)


def test_an_option_in_the_query_is_not_ignored_where_the_body_has_the_options(ann: TestClient) -> None:
    references: dict[str, Any] = {"references": ["https://example.com/1.png"]}
    bodies: tuple[dict[str, Any], ...] = ({"json": references}, {"files": {"images": ("one.png", PNG)}})

    for query, field in (
        ("threshold=0.5", "query.threshold"),
        ("idempotency_key=k&priority=interactive", "query.priority"),
    ):
        for body in bodies:
            problem = read_problem(ann.post(f"/v1/jobs?{query}", **body), 422)
            message = "send it as a member of the JSON document, or a field of the form"
            assert problem["errors"] == [{"field": field, "message": message}]
    assert ann.get("/v1/jobs").json()["jobs"] == []
    # As the client sends sources.
    assert ann.post("/v1/jobs?threshold=0.5", json={**references, "threshold": 0.5}).json()["threshold"] == 0.5
    first, second = (ann.post("/v1/jobs?idempotency_key=k", json=references).json()["id"] for _ in range(2))
    assert first == second


def test_lines_of_json_become_a_job(ann: TestClient, engine: Engine) -> None:
    uris = [f"https://example.com/{number}.png" for number in range(60)]
    lines = [json.dumps(uri if number % 2 else {"uri": uri, "other": 1}) for number, uri in enumerate(uris)]

    response = ann.post("/v1/jobs", content="\n".join(lines) + "\n\n", headers={"Content-Type": "application/x-ndjson"})

    assert response.status_code == 202, response.text
    assert read_references(engine, response.json()["id"]) == uris


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.references"),
        ({"references": []}, "body.references"),
        ({"references": ["https://a/"], "threshold": 1}, "body.threshold"),
        ({"references": ["https://a/"], "priority": "urgent"}, "body.priority"),
        ({"references": ["https://a/"], "name": "a\0b"}, "body.name"),
        ({"references": ["https://a/"], "webhook": "ftp://a/"}, "body.webhook"),
        ({"references": ["https://a/"], "webhook": "https://a/"}, "webhook"),
        ({"references": ["https://a/"], "nmae": "a"}, "body.nmae"),
        ({"references": ["https://a/", "ftp://a/"]}, "references.1"),
        ({"references": ["blob://" + "0" * 64]}, "references.0"),
        ({"references": ["https://ann:secret@a/"]}, "references.0"),
        ({"references": ["https://["]}, "references.0"),
        ({"references": ["https://a/\0"]}, "references.0"),
        ({"references": ["https://a/" + 5000 * "a"]}, "references.0"),
        ({"references": ["file:///etc/passwd"]}, "references.0"),
        ({"references": ["file://elsewhere/etc/passwd"]}, "references.0"),
        ({"references": ["file:root/a.png"]}, "references.0"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(ann: TestClient, body: dict[str, object], field: str) -> None:
    document = read_problem(ann.post("/v1/jobs", json=body), 422)

    assert [each["field"] for each in document["errors"]] == [field]  # type: ignore[attr-defined]
    assert ann.get("/v1/jobs").json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{", 422),
        ("application/json", b'{"references": ["\\ud800"]}', 422),
        ("application/x-ndjson", b'"https://a/"\nnonsense\n', 422),
        ("application/x-ndjson", b'{"url": "https://a/"}\n', 422),
        ("application/x-ndjson", b"\n", 422),
        ("application/x-ndjson", b"[" * 8000, 422),
        ("application/x-ndjson", b"9" * 8000, 422),
        ("application/json", b"[" * 100_000, 422),
        ("application/zip", b"no archive", 422),
        ("application/x-tar", pack_zip({"one": PNG}), 422),
        ("application/zip", pack_zip({}), 422),
        ("application/zip", pack_zip(dict.fromkeys(map(str, range(51)), b"")), 413),
        ("multipart/form-data", b"no boundary", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense", 422),
        ("text/html", b"", 415),
        ("", b"", 415),
        ("application/json", b" " * 200_001, 413),
        ("application/zip", b" " * 200_001, 413),
    ],
)
def test_a_body_that_cannot_be_used_is_refused(ann: TestClient, kind: str, body: bytes, status: int) -> None:
    read_problem(ann.post("/v1/jobs", content=body, headers={"Content-Type": kind}), status)

    assert ann.get("/v1/jobs").json()["jobs"] == []


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(ann: TestClient) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 10_000_000:
            read += 10_000
            yield b" " * 10_000

    read_problem(ann.post("/v1/jobs", content=endless(), headers={"Content-Type": "application/zip"}), 413)


def test_jobs_are_listed_page_by_page_to_their_submitter_and_to_admins(ann: TestClient, api: Api) -> None:
    own = [submit(ann, "https://example.com/1.png")["id"] for _ in range(3)]
    other = submit(api.connect_as("bob"), "https://example.com/1.png")["id"]

    first = ann.get("/v1/jobs?limit=2").json()
    second = ann.get(first["next"]).json()

    assert [job["id"] for job in first["jobs"] + second["jobs"]] == own[::-1]
    assert second["next"] is None
    assert [job["id"] for job in api.connect_as("root", "admin").get("/v1/jobs").json()["jobs"]] == [other, *own[::-1]]


def test_a_cancelled_job_is_cancelled(ann: TestClient, engine: Engine) -> None:
    job = submit(ann, "https://example.com/1.png", "https://example.com/2.png")
    claim_waiting_chunks(engine)
    assert ann.get(job["links"]["job"]).json()["started_at"] is not None

    answer = ann.delete(job["links"]["job"]).json()

    assert (answer["cancelled"], answer["job"]["state"], answer["job"]["error"]) == (2, "cancelled", 2)
    assert answer["job"]["images_per_minute"] is None
    stored = read_job(engine, uuid.UUID(job["id"]))
    assert stored is not None
    assert stored.state == "cancelled"


def test_who_has_too_much_waiting_is_told_to_come_back(ann: TestClient, api: Api) -> None:
    submit(ann, *["https://example.com/1.png"] * 100)

    refused = ann.post("/v1/jobs", json={"references": ["https://example.com/1.png"]})

    assert "of this key" in str(read_problem(refused, 429)["detail"])
    assert int(refused.headers["retry-after"]) > 0
    bob = api.connect_as("bob")
    submit(bob, *["https://example.com/1.png"] * 50)
    together = bob.post("/v1/jobs", json={"references": ["https://example.com/1.png"]})
    assert "of all keys" in str(read_problem(together, 429)["detail"])

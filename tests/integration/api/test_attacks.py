"""Clients without a right get nothing, and learn nothing."""

import os
import re
import tarfile
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from sqlalchemy import Engine, create_engine, text
from starlette.testclient import TestClient

from storage.keys import create_key, revoke_key
from storage.settings import Settings
from tests.kit.api import Api, read_problem
from tests.kit.archives import describe_entry, pack_tar, pack_zip

REFERENCES = {"references": ["https://example.com/1.png"]}


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer nonsense", "Bearer starlight_0123456789ab_" + "0" * 64, "Basic YTpi",
     "Bearer a\\b_c_d", "bearer " + "x" * 5000],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", f"/v1/jobs/{uuid.UUID(int=1)}")]
)
def test_without_a_key_nothing_is_told(api: Api, authorization: str | None, method: str, path: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    refused = api.connect().request(method, path, headers=headers)

    read_problem(refused, 401)
    assert refused.headers["www-authenticate"] == "Bearer"


def test_every_request_but_the_open_ones_needs_a_key(api: Api) -> None:
    open_ones = {
        path
        for path, operations in api.app.openapi()["paths"].items()
        for method in operations
        if api.connect().request(method, re.sub("{[^}]*}", "1", path)).status_code != 401
    }

    assert open_ones == {"/health", "/info"}


def test_a_revoked_key_ends_with_the_next_request(api: Api) -> None:
    client = api.connect(create_key(api.service.engine, "ann", ["read"]))
    assert client.get("/v1/jobs").status_code == 200

    revoke_key(api.service.engine, "ann")

    read_problem(client.get("/v1/jobs"), 401)


def test_a_key_does_only_what_its_scopes_allow(api: Api) -> None:
    reader, submitter, admin = (api.connect_as(scope, scope) for scope in ("read", "submit", "admin"))

    read_problem(reader.post("/v1/jobs", json=REFERENCES), 403)
    read_problem(submitter.get("/v1/jobs"), 403)
    job = submitter.post("/v1/jobs", json=REFERENCES).json()
    read_problem(reader.delete(job["links"]["job"]), 403)
    assert admin.get(job["links"]["job"]).status_code == 200
    assert admin.post("/v1/jobs", json=REFERENCES).status_code == 202


def test_another_s_job_is_as_if_it_were_not_there(ann: TestClient, api: Api) -> None:
    job = ann.post("/v1/jobs", json=REFERENCES).json()
    bob = api.connect_as("bob")
    unknown = uuid.UUID(int=1)

    for method in ("GET", "DELETE"):
        theirs = read_problem(bob.request(method, f"/v1/jobs/{job['id']}"), 404)
        nobodys = read_problem(bob.request(method, f"/v1/jobs/{unknown}"), 404)
        assert str(theirs["detail"]).replace(job["id"], "") == str(nobodys["detail"]).replace(str(unknown), "")
    assert ann.get(job["links"]["job"]).json()["state"] == "pending"


@pytest.mark.parametrize("job_id", ["nonsense", "%00", "..%2f..%2fetc", "0" * 5000])
def test_a_job_id_that_is_none_is_refused(ann: TestClient, job_id: str) -> None:
    response = ann.get(f"/v1/jobs/{job_id}")

    read_problem(response, response.status_code)
    assert response.status_code in (404, 422)


@pytest.mark.parametrize("name", ["../secret", "%2e%2e/secret", "link", "folder/../../secret", "linked/secret", ""])
def test_files_outside_the_allowed_folders_cannot_be_named(ann: TestClient, root: Path, name: str) -> None:
    (root.parent / "secret").write_text("secret")
    (root.parent / "outside").mkdir()
    (root.parent / "outside" / "secret").write_text("secret")
    (root / "folder").mkdir()
    (root / "link").symlink_to("../secret")
    (root / "linked").symlink_to("../outside")

    document = read_problem(ann.post("/v1/jobs", json={"references": [f"file://{os.fspath(root)}/{name}"]}), 422)

    assert "outside" in str(document["detail"])


def test_a_link_that_changes_after_it_was_submitted_is_not_followed(ann: TestClient, root: Path, api: Api) -> None:
    (root / "image").write_text("image")
    (root / "link").symlink_to("image")
    job = ann.post("/v1/jobs", json={"references": [(root / "link").as_uri()]}).json()

    with api.service.engine.connect() as connection:
        stored = connection.exec_driver_sql(f"SELECT refs FROM chunks WHERE job_id = '{job['id']}'").scalar_one()

    assert stored == [(root / "image").as_uri()]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/zip", pack_zip({"first": b"bytes", "../../../escaped": b"bytes"})),
        ("application/zip", pack_zip({"first": b"bytes", "/tmp/escaped": b"bytes"})),
        ("application/zip", pack_zip({"first": b"bytes", "..\\..\\escaped": b"bytes"})),
        ("application/x-tar", pack_tar({"first": b"", "../../../escaped": b"bytes"})),
        (
            "application/x-tar",
            pack_tar({"first": b""}, [describe_entry("escaped", kind=tarfile.SYMTYPE, target="/etc/passwd")]),
        ),
        (
            "application/x-tar",
            pack_tar({"first": b""}, [describe_entry("escaped", kind=tarfile.LNKTYPE, target="../../etc/passwd")]),
        ),
        (
            "application/x-tar",
            pack_tar({"first": b""}, [describe_entry("escaped", kind=tarfile.CHRTYPE, devmajor=1, devminor=5)]),
        ),
        (
            "application/gzip",
            pack_tar({"first": b""}, [describe_entry("escaped", pax_headers={"comment": "a" * 2**21})], "w:gz"),
        ),
    ],
)
def test_members_of_archives_go_nowhere_and_reach_nothing(
    ann: TestClient, engine: Engine, tmp_path: Path, kind: str, body: bytes
) -> None:
    job = ann.post("/v1/jobs", content=body, headers={"Content-Type": kind}).json()

    with engine.connect() as connection:
        query = text("SELECT unnest(refs) FROM chunks WHERE job_id = :id")
        first, second, *_ = connection.execute(query, {"id": job["id"]}).scalars()
    assert first.startswith("blob://")
    assert second.startswith(("blob://", "file:///upload.tar#", "file:///upload.tar.gz#"))
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent.parent.name for path in stored} == {"blobs"}


def test_a_key_that_asks_too_often_is_told_when_to_come_back(api: Api, api_settings: Settings) -> None:
    strict = Api(replace(api.service, settings=api_settings.model_copy(update={"rate_limit_per_minute": 5})))
    ann, bob = strict.connect_as("ann"), strict.connect_as("bob")

    answers = [ann.get("/v1/jobs") for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert bob.get("/v1/jobs").status_code == 200


def test_without_redis_nobody_is_turned_away(api: Api) -> None:
    lost = SlidingWindowCounterRateLimiter(RedisStorage("redis://127.0.0.1:1/0"))
    without = Api(replace(api.service, limiter=lost))

    assert without.connect_as("ann").get("/v1/jobs").status_code == 200


def test_without_a_database_it_says_so(api: Api) -> None:
    lost = create_engine("postgresql+psycopg://127.0.0.1:1/none")
    gone = Api(replace(api.service, engine=lost))

    refused = gone.connect("starlight_0123456789ab_" + "0" * 64).get("/v1/jobs")

    read_problem(refused, 503)
    assert int(refused.headers["retry-after"]) > 0


def test_every_answer_has_the_headers_that_browsers_need(api: Api) -> None:
    for path in ("/v1/jobs", "/docs", "/openapi.json", "/nothing", "/docs/assets/swagger-ui.css"):
        headers = api.connect().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-request-id"]


def test_what_nobody_expected_is_a_problem_document_with_the_same_headers(api: Api) -> None:
    broken = Api(replace(api.service, engine=None))  # type: ignore[arg-type]

    failed = broken.connect("starlight_0123456789ab_" + "0" * 64).get("/v1/jobs")

    assert "AttributeError" not in str(read_problem(failed, 500))
    assert failed.headers["x-content-type-options"] == "nosniff"


def test_the_documentation_needs_no_network(api: Api) -> None:
    client = api.connect()

    page = client.get("/docs").text

    for asset in ("/docs/assets/swagger-ui.css", "/docs/assets/swagger-ui-bundle.js", "/docs/start.js"):
        assert asset in page
        assert client.get(asset).status_code == 200
    assert "http://" not in page
    assert "https://" not in page
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1.")
    # Swagger UI before version 5 does not render such a document.
    assert re.search(r'PACKAGE_VERSION:"5\.', client.get("/docs/assets/swagger-ui-bundle.js").text)


def test_a_wrong_method_or_path_is_a_problem_document_too(ann: TestClient) -> None:
    read_problem(ann.put("/v1/jobs"), 405)
    read_problem(ann.get("/nothing"), 404)

"""Exports by the API: requested, made by a separate process, fetched with permission, and deleted after a while."""

import hashlib
import json
import uuid
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.dispatching import leased_process
from producer.dispatching.exports import Exporting
from producer.export_jobs import UnwantedError, locate_export, make_export, read_manifest
from starlight_client.exchanges import LONGEST_WAIT_S
from starlight_vocabulary.exports import MANIFEST, ExportState
from starlight_vocabulary.words import Outcome
from storage.blobs import find_folder
from storage.export_jobs import ATTEMPTS, claim_export, get_export
from storage.settings import Settings
from tests.kit.api import Api, read_problem
from tests.kit.exports import make_here
from tests.kit.rows import execute, finish_waiting_chunks, submit_job_of


@pytest.fixture
def maker(engine: Engine, api_settings: Settings) -> Exporting:
    assert api_settings.database_url is not None
    environment = {
        "STARLIGHT_DATABASE_URL": api_settings.database_url,
        "STARLIGHT_DATA_DIR": str(api_settings.data_dir),
    }
    return Exporting(engine, api_settings, environment)


def ask(client: TestClient, **wanted: Any) -> dict[str, Any]:
    answer = client.post("/v1/exports", json={"format": "ndjson", **wanted})
    assert answer.status_code == 202, answer.text
    report: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/exports/{report['id']}"
    return report


def fetch(client: TestClient, report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the lines in the files of an export; fails unless the files match the report."""
    lines = []
    for each in client.get(f"/v1/exports/{report['id']}").json()["files"]:
        data = client.get(f"/v1/exports/{report['id']}/files/{each['path']}").content
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (each["sha256"], each["size_bytes"])
        lines += [json.loads(line) for line in data.decode("ascii").splitlines()]
    return lines


def test_an_export_is_made_by_a_process_and_fetched(engine: Engine, ann: TestClient, maker: Exporting) -> None:
    submit_job_of(engine, 5)
    finish_waiting_chunks(engine)
    submit_job_of(engine, 3, submitter="bob")
    finish_waiting_chunks(engine, Outcome.ERROR)
    report = ask(ann, partition_by="day")
    assert (report["state"], report["rows"], report["files"]) == ("pending", 0, None)
    read_problem(ann.get(f"/v1/exports/{report['id']}/files/{MANIFEST}"), 404)

    assert maker.make_next()
    assert not maker.make_next()

    done = ann.get(f"/v1/exports/{report['id']}").json()
    assert (done["state"], done["rows"], done["error"]) == ("done", 5, None)
    (file,) = done["files"]
    assert file["path"].startswith("day=")
    assert (done["size_bytes"], done["until"] > report["created_at"]) == (file["size_bytes"], True)
    listed = ann.get("/v1/verdicts").json()["verdicts"]
    by_ordinal = itemgetter("ordinal")
    assert sorted(fetch(ann, report), key=by_ordinal) == sorted(listed, key=by_ordinal)
    manifest = ann.get(f"/v1/exports/{report['id']}/files/{MANIFEST}")
    assert (manifest.json()["complete"], manifest.headers["content-type"]) == (True, "application/json")


def test_filters_are_those_of_verdicts(engine: Engine, ann: TestClient, api_settings: Settings) -> None:
    submit_job_of(engine, 5)
    finish_waiting_chunks(engine)
    job_id = submit_job_of(engine, 3)
    finish_waiting_chunks(engine, Outcome.ERROR)

    for wanted, rows in (
        ({}, 8), ({"outcome": "clean"}, 5), ({"job_id": str(job_id)}, 3), ({"error_code": ["empty", "corrupt"]}, 3),
        ({"since": "2999-01-01T00:00:00"}, 0), ({"sha256": "00" * 32}, 5), ({"words": "nowhere"}, 0),
        ({"part": "nowhere", "until": "2999-01-01"}, 0), ({"method": "raw"}, 0),
    ):  # fmt: skip
        report = ask(ann, **wanted)
        make_here(engine, api_settings)
        assert len(fetch(ann, report)) == rows, wanted
        ann.delete(f"/v1/exports/{report['id']}")


@pytest.mark.parametrize("media_format", ["parquet", "csv"])
def test_the_other_formats_have_their_types(
    engine: Engine, ann: TestClient, api_settings: Settings, media_format: str
) -> None:
    submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    report = ask(ann, format=media_format)
    make_here(engine, api_settings)

    answer = ann.get(f"/v1/exports/{report['id']}/files/part-000000.{media_format}")

    assert answer.headers["content-type"].partition(";")[0].endswith(media_format)
    assert answer.content[:6] == (b"job_id" if media_format == "csv" else b"PAR1\x15\x04")


def test_everybody_sees_his_own_and_an_admin_all(engine: Engine, api: Api, api_settings: Settings) -> None:
    ann, bob, admin = api.connect_as("ann"), api.connect_as("bob"), api.connect_as("olga", "admin")
    submit_job_of(engine, 2, submitter="ann")
    submit_job_of(engine, 1, submitter="bob")
    finish_waiting_chunks(engine)
    reports = {name: ask(client) for name, client in (("ann", ann), ("bob", bob), ("olga", admin))}
    for _ in reports:
        make_here(engine, api_settings)

    assert {name: admin.get(f"/v1/exports/{each['id']}").json()["rows"] for name, each in reports.items()} == {
        "ann": 2, "bob": 1, "olga": 3,
    }  # fmt: skip
    assert [each["id"] for each in ann.get("/v1/exports").json()["exports"]] == [reports["ann"]["id"]]
    assert len(admin.get("/v1/exports").json()["exports"]) == 3
    for name in ("bob", "olga"):
        for path in ("", f"/files/{MANIFEST}", "/files/part-000000.ndjson"):
            read_problem(ann.get(f"/v1/exports/{reports[name]['id']}{path}"), 404)
        read_problem(ann.delete(f"/v1/exports/{reports[name]['id']}"), 404)
    # An earlier key with the same name was an admin's, so its export has everybody's verdicts.
    execute(engine, "UPDATE exports SET asked_by = 'ann' WHERE submitter IS NULL")
    read_problem(ann.get(f"/v1/exports/{reports['olga']['id']}"), 404)


def test_no_path_leads_elsewhere(engine: Engine, ann: TestClient, api_settings: Settings) -> None:
    submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    report, other = ask(ann), ask(ann)
    make_here(engine, api_settings)
    make_here(engine, api_settings)

    for path in (
        "../../password", f"../{other['id']}/{MANIFEST}", "%2e%2e/%2e%2e/password", "/etc/passwd", "part-000001.ndjson",
        f"..%2f{other['id']}%2f{MANIFEST}", "", ".",
    ):  # fmt: skip
        # The client itself resolves some of these paths, which then belong to other routes.
        assert ann.get(f"/v1/exports/{report['id']}/files/{path}").status_code in (404, 422), path


def test_a_key_has_so_many_exports_and_no_more(ann: TestClient, api: Api) -> None:
    limit = api.service.settings.max_exports_per_key
    reports = [ask(ann) for _ in range(limit)]

    refused = ann.post("/v1/exports", json={})

    assert "has 5 exports" in str(read_problem(refused, 429)["detail"])
    assert int(refused.headers["retry-after"]) > LONGEST_WAIT_S, "the client would wait in vain"
    assert ann.delete(f"/v1/exports/{reports[0]['id']}").status_code == 204
    read_problem(ann.get(f"/v1/exports/{reports[0]['id']}"), 404)
    ask(ann)
    ask(api.connect_as("bob"))


@pytest.mark.parametrize(
    "wanted",
    [
        {"format": "xlsx"},
        {"partition_by": "hour"},
        {"words": "!"},
        {"submitter": "bob"},
        {"since": "then"},
        {"model": "v9"},
        {"until": "2026-01-01", "since": "2026-01-02"},
    ],
)
def test_what_cannot_be_exported_is_refused(ann: TestClient, wanted: dict[str, str]) -> None:
    problem = read_problem(ann.post("/v1/exports", json=wanted), 422)

    assert str(problem["errors"]).count(f"body.{next(iter(wanted))}") == 1


def test_what_has_expired_or_was_deleted_leaves_nothing(
    engine: Engine, ann: TestClient, api_settings: Settings, maker: Exporting
) -> None:
    submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    first, second, third = (ask(ann) for _ in range(3))
    for _ in range(2):
        make_here(engine, api_settings)
    folders = [find_folder(locate_export(api_settings, uuid.UUID(each["id"]))) for each in (first, second)]
    ann.delete(f"/v1/exports/{first['id']}")

    maker.delete_expired()

    assert [folder is not None and folder.exists() for folder in folders] == [False, True]
    Exporting(engine, api_settings.model_copy(update={"export_retention": timedelta(0)}), {}).delete_expired()
    assert [folder is not None and folder.exists() for folder in folders] == [False, False]
    assert [each["id"] for each in ann.get("/v1/exports").json()["exports"]] == [third["id"]]


def test_an_export_that_is_deleted_while_it_is_made_ends(
    engine: Engine, ann: TestClient, api_settings: Settings, maker: Exporting
) -> None:
    submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    report = ask(ann)
    export = claim_export(engine)
    assert export is not None
    ann.delete(f"/v1/exports/{report['id']}")

    with pytest.raises(UnwantedError):
        make_export(engine, api_settings, export)

    maker.delete_expired()
    assert read_manifest(api_settings, export.id) is None
    execute(engine, "UPDATE exports SET lease_until = now()")
    maker.delete_expired()
    assert claim_export(engine) is None


def test_a_maker_that_is_gone_is_replaced_a_few_times(engine: Engine, ann: TestClient, maker: Exporting) -> None:
    report = ask(ann)
    for _ in range(ATTEMPTS):
        assert claim_export(engine) is not None
        assert claim_export(engine) is None
        execute(engine, "UPDATE exports SET lease_until = now()")

    assert maker.make_next()

    shown = ann.get(f"/v1/exports/{report['id']}").json()
    assert (shown["state"], "crashed 3 times" in shown["error"]) == ("failed", True)


def test_what_is_too_large_fails_and_says_why(
    engine: Engine, ann: TestClient, api_settings: Settings, maker: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_job_of(engine, 1)
    finish_waiting_chunks(engine)
    report = ask(ann)
    monkeypatch.setitem(maker._environment, "STARLIGHT_MAX_STORED_BYTES_PER_KEY", "10")

    assert maker.make_next()

    shown = ann.get(f"/v1/exports/{report['id']}").json()
    assert (shown["state"], "STARLIGHT_MAX_STORED_BYTES_PER_KEY" in shown["error"]) == ("failed", True)


def test_a_dispatcher_that_ends_leaves_its_export_to_others(
    engine: Engine, ann: TestClient, maker: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = ask(ann)
    monkeypatch.setattr(leased_process, "RENEW_EVERY_S", 0.01)
    maker.stopping.set()

    assert maker.make_next()

    found = get_export(engine, uuid.UUID(report["id"]), "ann", everybody=False)
    assert found is not None
    assert (found.state, found.attempts) == (ExportState.PENDING, 0)

"""Rescans and comparisons by the API, and by the command with and without the API."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.cli.commands import rescanning
from starlight_vocabulary.words import Method, Outcome
from storage import rescans
from storage.chunks import finish_chunk
from storage.keys import create_key
from storage.models import ModelChoiceError, register_model
from storage.new_verdict import NewVerdict
from storage.settings import Settings, read_settings
from storage.submission import submit_job
from storage.submitters import UnknownSubmitterError
from tests.kit.api import Api, read_problem
from tests.kit.rows import claim_waiting_chunks, read_job, submit_job_of


@pytest.fixture
def models(engine: Engine) -> list[int]:
    """An older model and a newer one."""
    return [
        register_model(engine, name="v4", version=version, sha256=version * 64, threshold=0.5) for version in ("1", "2")
    ]


def judge(engine: Engine, model_id: int, *methods: Method | None, submitter: str = "ann") -> uuid.UUID:
    """Store a job whose images are the same for all models, with this model's verdicts on them."""
    uris = [f"file:///{place}" for place in range(len(methods))]
    job_id = submit_job(engine, uris, submitter=submitter, chunk_size=100).job_id
    (claim,) = claim_waiting_chunks(engine)
    verdicts = [
        NewVerdict(
            place, uris[place], Outcome.STEGO if method else Outcome.CLEAN, bytes([place]) * 32,
            0.9 if method else 0.1, method, model_id=model_id,
        )
        for place, method in enumerate(methods)
    ]  # fmt: skip
    assert finish_chunk(engine, claim, verdicts)
    return job_id


def ask(client: TestClient, key: str | None = None, **wanted: object) -> dict[str, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = client.post("/v1/rescans", json={"model": "v4-1", **wanted}, headers=headers)
    assert answer.status_code == 202, answer.text
    page: dict[str, Any] = answer.json()
    return page


def name_jobs(page: dict[str, Any]) -> list[str]:
    return [each["rescan_of"] for each in page["rescans"]]


def test_a_key_has_its_own_images_scanned_again_once(engine: Engine, ann: TestClient, models: list[int]) -> None:
    own = judge(engine, models[0], None, Method.RAW, None)
    judge(engine, models[0], Method.RAW, submitter="bob")
    judge(engine, models[1], Method.RAW)

    page = ask(ann, outcome="stego", name="again")

    (made,) = page["rescans"]
    assert page["next"] is None
    assert made == {"rescan_of": str(own), "job_id": made["job_id"], "images": 1, "gone": 0, "was_done": False}
    job = read_job(engine, uuid.UUID(made["job_id"]))
    assert (job.submitter, job.name, job.rescan_of, job.priority, job.total) == ("ann", "again", own, "bulk", 1)
    assert ask(ann, outcome="stego", name="again")["rescans"] == [{**made, "was_done": True}]
    other = ask(ann, "another", outcome="stego")["rescans"][0]
    assert (other["was_done"], other["job_id"] != made["job_id"]) == (False, True)
    assert ask(ann, "another", outcome="stego")["rescans"] == [{**other, "was_done": True}]
    # Only an admin can choose the submitter.
    assert ask(ann, submitter="bob", method="exif")["rescans"] == []


def test_an_admin_has_everybodys_images_scanned_again(engine: Engine, api: Api, models: list[int]) -> None:
    jobs = [judge(engine, models[0], None, submitter=name) for name in ("ann", "bob", "eve")]
    admin = api.connect_as("olga", "admin")

    assert name_jobs(ask(admin, submitter="bob")) == [str(jobs[1])]
    page = ask(admin)

    assert name_jobs(page) == [str(job) for job in jobs]
    assert [read_job(engine, uuid.UUID(each["job_id"])).submitter for each in page["rescans"]] == ["ann", "bob", "eve"]


def test_jobs_are_looked_into_page_by_page(
    engine: Engine, ann: TestClient, models: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, third, last = (judge(engine, model, None) for model in (models[0], models[1], models[0], models[0]))
    monkeypatch.setattr(rescans, "JOBS_AT_ONCE", 2)

    page = ask(ann)
    rest = ask(ann, after=page["next"])

    assert (name_jobs(page), page["next"] is None) == ([str(first)], False)
    assert (name_jobs(rest), rest["next"]) == ([str(third), str(last)], None)
    monkeypatch.setattr(rescans, "IMAGES_AT_ONCE", 1)
    page = ask(ann, "more")
    assert (name_jobs(page), page["next"]) == ([str(first)], str(first))


def test_a_page_ends_where_no_more_images_may_wait(engine: Engine, ann: TestClient, models: list[int]) -> None:
    jobs = [judge(engine, models[0], *[None] * 60) for _ in range(3)]

    page = ask(ann)

    # The limit is 100 waiting images; the second job exceeds it.
    assert name_jobs(page) == [str(job) for job in jobs[:2]]
    assert page["next"] == str(jobs[1])
    refused = ann.post("/v1/rescans", json={"model": "v4-1", "after": page["next"]})
    assert "images of this key wait" in str(read_problem(refused, 429)["detail"])


@pytest.mark.parametrize("scopes", [("read",), ("submit",)])
def test_a_rescan_looks_and_submits(api: Api, models: list[int], scopes: tuple[str, ...]) -> None:
    read_problem(api.connect_as("bob", *scopes).post("/v1/rescans", json={"model": "v4-1"}), 403)


def test_a_model_that_is_not_there_is_named(ann: TestClient, models: list[int]) -> None:
    for answer, field in (
        (ann.post("/v1/rescans", json={"model": "v9"}), "body.model"),
        (ann.get("/v1/comparison?model=v9&other_model=v4-2"), "query.model"),
        (ann.get("/v1/comparison?model=v4-2&other_model=v9"), "query.other_model"),
    ):
        problem = read_problem(answer, 422)
        assert problem["errors"] == [{"field": field, "message": "there is no model 'v9': use one of v4-1, v4-2"}]


def test_a_submitter_that_is_not_there_is_named_to_admins(engine: Engine, api: Api, models: list[int]) -> None:
    judge(engine, models[0], None)
    admin, key_only = api.connect_as("olga", "admin"), api.connect_as("bob")

    for answer, field in (
        (admin.post("/v1/rescans", json={"model": "v4-1", "submitter": "anne"}), "body.submitter"),
        (admin.get("/v1/comparison?model=v4-1&other_model=v4-2&submitter=anne"), "query.submitter"),
    ):
        problem = read_problem(answer, 422)
        assert problem["errors"] == [{"field": field, "message": "there is no submitter 'anne': use one of ann"}]
    read_problem(admin.post("/v1/rescans", json={"model": "v4-1", "submitter": ""}), 422)
    # A key without jobs is a submitter, and other keys learn no names.
    assert admin.post("/v1/rescans", json={"model": "v4-1", "submitter": "bob"}).json()["rescans"] == []
    assert key_only.post("/v1/rescans", json={"model": "v4-1", "submitter": "anne"}).json()["rescans"] == []


def test_models_are_compared_on_what_the_key_may_see(engine: Engine, api: Api, models: list[int]) -> None:
    for model, method in zip(models, (None, Method.RAW), strict=True):
        judge(engine, model, None, method)
        judge(engine, model, None, method, None, submitter="bob")
    query = "/v1/comparison?model=v4-1&other_model=v4-2"

    own = api.connect_as("ann").get(f"{query}&submitter=bob").json()
    admin = api.connect_as("olga", "admin")

    assert (own["files"], own["differing"]) == (2, 1)
    (differing,) = own["sample"]
    assert (differing["uri"], differing["stego_type"], differing["other_stego_type"]) == ("file:///1", None, "raw")
    assert admin.get(query).json()["files"] == admin.get(f"{query}&submitter=bob").json()["files"] == 3
    assert admin.get(f"{query}&sample=0").json()["sample"] == []
    assert admin.get(f"{query}&since=2100-01-01").json()["files"] == 0
    with api.service.comparing.hold():
        read_problem(admin.get(query), 503)


@pytest.fixture(params=["here", "elsewhere"])
def place(
    request: pytest.FixtureRequest,
    engine: Engine,
    address: str,
    api_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, Any]]:
    """What the command uses: the servers, or the API."""
    if request.param == "elsewhere":
        yield {"server": address, "key": create_key(engine, "olga", ["admin"])}
        return
    for name in ("database_url", "redis_url", "data_dir"):
        monkeypatch.setenv(f"STARLIGHT_{name.upper()}", str(getattr(api_settings, name)))
    read_settings.cache_clear()
    yield {}
    read_settings.cache_clear()


def test_the_command_prints_the_new_jobs(
    engine: Engine, models: list[int], place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = [judge(engine, models[0], None, Method.RAW, submitter=name) for name in ("ann", "bob")]

    for again in (False, True):
        rescanning.rescan("v4-1", outcome="stego", again=again, **place)
        printed = capsys.readouterr()
        made = [read_job(engine, uuid.UUID(line)) for line in printed.out.splitlines()]
        assert [job.rescan_of for job in made] == jobs
        assert printed.err == "2 images in 2 jobs are scanned again\n"
    rescanning.rescan("v4-1", outcome="stego", submitter="bob", name="june", **place)
    assert read_job(engine, uuid.UUID(capsys.readouterr().out.strip())).name == "june"
    rescanning.rescan("v4-1", outcome="stego", **place)
    assert capsys.readouterr() == (
        "", "0 images in 0 jobs are scanned again; already submitted before: 2 jobs (--again includes them)\n"
    )  # fmt: skip


def test_the_command_compares(
    engine: Engine, models: list[int], place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    judge(engine, models[0], None, None, Method.RAW)
    judge(engine, models[1], None, Method.ALPHA, Method.RAW)

    rescanning.compare("v4-1", "2" * 64, **place)
    lines = capsys.readouterr().out.splitlines()
    rescanning.compare("v4-1", "v4-2", as_json=True, **place)

    assert lines[0] == "3 files scored by both, 1 differently"
    assert [line.split() for line in lines[2:]] == [
        ["1", "clean", "clean"], ["1", "clean", "stego", "alpha", "differ"], ["1", "stego", "raw", "stego", "raw"],
        ["01" * 32, "clean", "0.1000", "stego", "alpha", "0.9000", "file:///1"],
    ]  # fmt: skip
    compared = json.loads(capsys.readouterr().out)
    assert (compared["files"], compared["differing"], len(compared["sample"])) == (3, 1, 1)


def test_the_command_names_a_model_that_is_not_there(
    engine: Engine, place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    submit_job_of(engine, 1)
    expected = Exception if place else ModelChoiceError

    with pytest.raises(expected, match="there is no model 'v9'"):
        rescanning.rescan("v9", **place)
    assert capsys.readouterr().out == ""


def test_compare_names_a_submitter_that_is_not_there(
    engine: Engine, models: list[int], place: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    submit_job_of(engine, 1)
    expected = Exception if place else UnknownSubmitterError

    with pytest.raises(expected, match="there is no submitter 'anne': use one of ann"):
        rescanning.compare("v4-1", "v4-2", submitter="anne", **place)
    assert capsys.readouterr().out == ""

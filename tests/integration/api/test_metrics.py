"""Metrics of the API process itself, which need no database."""

import threading

import httpx

from starlight_vocabulary.job import JobOptions
from storage.keys import create_key
from storage.submission import submit_job
from tests.kit.api import Api
from tests.kit.ports import find_free_port
from tests.kit.programs import run_program
from tests.kit.rows import submit_job_of
from tests.kit.samples import read_registry, scrape
from tests.kit.threads import PATIENCE_S


def test_requests_are_counted_by_route_method_and_kind_of_answer(api: Api) -> None:
    ann = api.connect_as("ann")
    job_id = submit_job(api.service.engine, ["file:///image"], JobOptions(), submitter="ann").job_id
    for path in (f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}", f"/v1/jobs/{job_id}?x=1"):
        assert ann.get(path).status_code == 200
    ann.get("/nowhere/at/all")
    ann.get("/v1/jobs/none")
    api.connect().get("/v1/jobs")
    ann.request("BREW", "/v1/jobs")

    samples = read_registry(api.metrics.registry)

    requests = samples["starlight_api_requests_total"]
    # Labels are ordered by name: method, route, status.
    assert requests["GET", "/v1/jobs/{job_id}", "2xx"] == 3
    assert requests["GET", "none", "4xx"] == 2
    assert requests["GET", "/v1/jobs/{job_id}", "4xx"] == 1
    assert {method for method, _, _ in requests} == {"GET", "other"}
    refused = samples["starlight_api_refusals_total"]
    assert (refused["key",], refused["invalid",], refused["disk",]) == (1, 1, 0)
    assert samples["starlight_api_request_seconds_count"]["/v1/jobs/{job_id}",] == 4
    assert samples["starlight_api_requests_in_flight"] == {(): 0}


def test_streams_are_counted_while_they_are_open(api: Api, address: str) -> None:
    job_id = submit_job_of(api.service.engine, 1, submitter="ann")
    key = create_key(api.service.engine, "ann", ["read"])
    headers = {"Authorization": f"Bearer {key}"}

    with httpx.stream("GET", f"{address}/v1/jobs/{job_id}/events", headers=headers, timeout=PATIENCE_S) as answer:
        # Held in a variable, because an iterator that is collected closes the stream.
        pieces = answer.iter_bytes()
        next(pieces)
        samples = read_registry(api.metrics.registry)
        assert samples["starlight_api_streams_open"] == samples["starlight_api_requests_in_flight"] == {(): 1}


def test_every_answer_is_counted_once_however_many_come_at_once(api: Api) -> None:
    ann = api.connect_as("ann")
    threads = [threading.Thread(target=ann.get, args=("/v1/jobs",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert read_registry(api.metrics.registry)["starlight_api_requests_total"]["GET", "/v1/jobs", "2xx"] == 8


def test_the_program_serves_them_on_a_port_of_their_own(database_url: str, redis_url: str, tmp_path: object) -> None:
    port, metrics_port = find_free_port(), find_free_port()
    settings = {
        "database_url": database_url, "redis_url": redis_url, "data_dir": tmp_path, "api_port": port,
        "api_metrics_port": metrics_port,
    }  # fmt: skip
    with run_program("-m", "producer.api", settings=settings, until="the API is running"):
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S).status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S).status_code == 401
        samples = scrape(metrics_port)

    assert samples["starlight_api_requests_total"]["GET", "/health", "2xx"] == 1
    assert samples["process_resident_memory_bytes"][()] > 0

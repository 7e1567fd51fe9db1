"""Scans that the caller waits for, without a worker."""

from dataclasses import replace

from producer.api.service import Service
from tests.kit.api import Api, read_problem
from tests.kit.pictures import encode_pattern


def test_a_verdict_that_does_not_come_in_time_is_told_with_the_job_which_goes_on(api: Api) -> None:
    impatient: Service = replace(
        api.service, settings=api.service.settings.model_copy(update={"interactive_wait_s": 0.05})
    )
    with Api(impatient).connect_as("stargate") as client:
        late = client.post("/scan/image", files={"image": ("image.png", encode_pattern("PNG"))})

        document = read_problem(late, 504)
        job = client.get(str(document["job"])).json()

    assert late.headers["location"] == document["job"]
    assert (job["state"], job["priority"], job["total"], job["finished"]) == ("pending", "interactive", 1, 0)


def test_without_workers_the_model_is_not_loaded(api: Api) -> None:
    health = api.connect().get("/health").json()

    assert health["scanner"] == {"model_loaded": False, "model_version": "", "model_path": "", "device": ""}
    assert api.connect().get("/bitcoin/v1/health").status_code == 200
    assert api.connect().get("/health?ready=1").status_code == 503

"""`/metrics` of the API: for admins, and for everybody if so configured."""

from dataclasses import replace

from tests.kit.api import Api, read_problem


def test_metrics_are_for_admins_unless_they_are_opened(api: Api) -> None:
    opened = Api(replace(api.service, settings=api.service.settings.model_copy(update={"metrics_without_key": True})))

    read_problem(api.connect().get("/metrics"), 401)
    read_problem(api.connect_as("ann").get("/metrics"), 403)
    shown = api.connect_as("root", "admin").get("/metrics")
    anybody = opened.connect().get("/metrics")

    assert shown.status_code == anybody.status_code == 200
    assert "starlight_api_requests_total" in shown.text
    assert shown.headers["content-type"].startswith("text/plain; version=")
    read_problem(opened.connect().get("/v1/jobs"), 401)

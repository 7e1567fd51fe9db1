"""The application answers valid and invalid requests as the OpenAPI document says."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy, one_of
from sqlalchemy import Engine
from starlette.testclient import TestClient

from producer.api.entrance import LISTS
from storage.jobs import list_jobs
from storage.keys import create_key
from storage.settings import Settings
from tests.kit.api import Api, read_problem

# Imported in the test itself: every test process imports this module, but only one runs the test.
if TYPE_CHECKING:
    import schemathesis

    Case = schemathesis.Case[Any]
    Operation = schemathesis.APIOperation[Any, Any, Any, Any]

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
# Requests per operation. They change only with the code or the document; REQUESTS=1000 draws other and more ones.
FEW = 5
EXAMPLES = int(os.environ.get("REQUESTS", FEW))
# Expected without a worker and a node: of Stargate's scans, transactions and health.
FORESEEN = {501, 503, 504}

SENT_TWICE = "this parameter may have only one value: send it once"


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    """Without a worker, requests for verdicts soon reach this timeout."""
    return api_settings.model_copy(update={"interactive_wait_s": 0.01, "rate_limit_per_minute": 1_000_000})


def test_every_request_is_answered_as_the_document_says(api: Api, subtests: pytest.Subtests) -> None:
    import schemathesis
    from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance
    from schemathesis.core.result import Ok

    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    key = create_key(api.service.engine, "ann", ["admin"])
    with end_applications():
        document = schemathesis.openapi.from_asgi("/openapi.json", api.app)
        for found in document.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()

            @settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES == FEW, database=None)
            @given(case=describe_requests(operation))
            def answered(case: "Case") -> None:
                response = case.call(headers={"Authorization": f"Bearer {key}"})
                assert response.status_code < 500 or response.status_code in FORESEEN, response.text
                case.validate_response(response, checks=checks)

            with subtests.test(operation.label):
                answered()
    assert "job events" not in {thread.name for thread in threading.enumerate()}


def test_the_page_names_every_request(api: Api) -> None:
    paths = {re.sub(r"{\w+_id}", "{id}", path) for path in api.app.openapi()["paths"]}

    assert {path for path in paths if f"{path}`" not in PAGE.read_text(encoding="utf-8")} == set()


def test_a_parameter_that_is_no_list_is_refused_if_it_comes_twice(api: Api, ann: TestClient) -> None:
    document = api.app.openapi()
    operations = [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]
    queries = [
        (path, each["name"], each["schema"].get("type") == "array")
        for path, operation in operations
        for each in operation.get("parameters", ())
        if each["in"] == "query"
    ]

    assert {name for _, name, is_list in queries if is_list} == set(LISTS)
    for path, name, is_list in queries:
        if not is_list:
            wrong = read_problem(ann.get(f"{path}?{name}=1&{name}=2"), 422)
            assert wrong["errors"] == [{"field": f"query.{name}", "message": SENT_TWICE}], path
    several = "error_code=truncated&error_code=corrupt"
    assert ann.get(f"/v1/verdicts?{several}").json() == {"verdicts": [], "next": None}


def test_a_field_of_a_form_is_refused_if_it_comes_twice(ann: TestClient, engine: Engine) -> None:
    wrong = read_problem(ann.post("/v1/jobs", data={"name": ["a", "b"]}, files=[("images", ("a.png", b"a"))]), 422)

    assert wrong["detail"] == "body.name: this field may have only one value: send it once"
    assert list_jobs(engine) == []


@contextmanager
def end_applications() -> Iterator[None]:
    """End the applications that schemathesis starts in the block; otherwise it lets them run until the process ends."""
    from schemathesis.python.asgi import shutdown_lifespans

    try:
        yield
    finally:
        shutdown_lifespans()


def describe_requests(operation: "Operation") -> "SearchStrategy[Case]":
    """Return valid and invalid requests of the operation."""
    from schemathesis import GenerationMode

    kinds = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return one_of(*(operation.as_strategy(generation_mode=kind) for kind in kinds))

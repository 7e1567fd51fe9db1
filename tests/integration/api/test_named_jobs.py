"""Jobs that filters name: only those that the key may see exist."""

import httpx
import pytest
from sqlalchemy import Engine

from tests.kit.api import Api, read_problem
from tests.kit.rows import finish_waiting_chunks, submit_job_of


@pytest.mark.parametrize(("method", "path", "document"), [
    ("GET", "/v1/verdicts?job_id={id}", None), ("POST", "/v1/exports", {"job_id": "{id}"}),
    ("POST", "/v1/rescans", {"model": "v4-0", "job_id": "{id}"}),
])  # fmt: skip
def test_a_filter_names_a_job_that_the_key_may_see(
    engine: Engine, api: Api, method: str, path: str, document: dict[str, str] | None
) -> None:
    job_id = submit_job_of(engine, 4, submitter="ann")
    finish_waiting_chunks(engine)

    def ask(name: str, *scopes: str) -> httpx.Response:
        asked = document and {key: value.format(id=job_id) for key, value in document.items()}
        answer: httpx.Response = api.connect_as(name, *scopes).request(method, path.format(id=job_id), json=asked)
        return answer

    assert ask("ann", "submit", "read").is_success
    assert ask("olga", "admin").is_success
    field = f"{'body' if document else 'query'}.job_id"
    assert read_problem(ask("bob", "submit", "read"), 422)["detail"] == f"{field}: there is no job {job_id}"

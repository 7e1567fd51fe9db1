"""The API's application, in this process."""

from collections.abc import Sequence

import httpx
from starlette.testclient import TestClient

from producer.api.app import create_app
from producer.api.metrics import ApiMetrics
from producer.api.service import Service
from storage.keys import create_key


class Api:
    """The application, with a client for each key."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.metrics = ApiMetrics()
        self.app = create_app(service, self.metrics)

    def connect(self, key: str | None = None) -> TestClient:
        """Return a client that sends this key; unhandled errors become responses, as for real clients."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(self.app, headers=headers, raise_server_exceptions=False)

    def connect_as(self, name: str, *scopes: str, buckets: Sequence[str] = ()) -> TestClient:
        """Return a client with a new key."""
        return self.connect(create_key(self.service.engine, name, scopes or ("submit", "read"), buckets))


def read_problem(response: httpx.Response, status: int) -> dict[str, object]:
    """Check that the response is a problem document, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = response.json()
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    return document

"""A deployment as its customers use it: an address and a key."""

from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The API's address, a key with the scopes submit and read, and the exporter's address if it is reachable."""

    url: str
    key: str
    exporter: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each request."""
        return {"Authorization": f"Bearer {self.key}"}

    def open(self, *, with_key: bool = True) -> httpx.Client:
        """Return an HTTP client for the API, with or without the key."""
        return httpx.Client(base_url=self.url, headers=self.headers if with_key else {}, timeout=TIMEOUT_S)

    def describe(self) -> dict[str, Any]:
        """Return the deployment's version and model; raises httpx.HTTPError if it does not respond."""
        with self.open() as client:
            health = client.get("/health").raise_for_status().json()
        return {"url": self.url, "version": health["version"], "model": health["scanner"]["model_version"],
                "weights": health["scanner"]["model_path"], "devices": health["scanner"]["device"]}  # fmt: skip


def scan_image(client: httpx.Client, name: str, data: bytes) -> httpx.Response:
    """Scan one image and wait for the response."""
    return client.post("/scan/image", files={"image": (name, data)})

"""A deployment as its customers reach it: an address and a key."""

from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """The API's address, a key that may submit and read, and the exporter's address where it can be reached."""

    url: str
    key: str
    exporter: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What each request carries."""
        return {"Authorization": f"Bearer {self.key}"}

    def open(self, *, with_key: bool = True) -> httpx.Client:
        """Return a client of the API, with the key or without one."""
        return httpx.Client(base_url=self.url, headers=self.headers if with_key else {}, timeout=TIMEOUT_S)

    def describe(self) -> dict[str, Any]:
        """Return which version and model answer; raises httpx.HTTPError where nothing does."""
        with self.open() as client:
            health = client.get("/health").raise_for_status().json()
        return {"url": self.url, "version": health["version"], "model": health["scanner"]["model_version"],
                "weights": health["scanner"]["model_path"], "devices": health["scanner"]["device"]}  # fmt: skip


def scan_image(client: httpx.Client, name: str, data: bytes) -> httpx.Response:
    """Have one image scanned while we wait."""
    return client.post("/scan/image", files={"image": (name, data)})

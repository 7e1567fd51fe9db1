"""Stargate's Go client: how it sends requests, and what its structs hold of the answers."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.kit.threads import PATIENCE_S

SAMPLES = Path(__file__).parents[2] / "samples"
# Where the routes are served.
PREFIXES = ("", "/bitcoin/v1")
# Sends a request: method, path, body, content type, and another `key`.
Call = Callable[..., tuple[int, Any]]


def call_like_go(api: str, key: str) -> Call:
    """Return a function that sends a request like the Go client; it returns the status and the JSON of the response."""
    address = urlsplit(api)

    def send(method: str, path: str, body: bytes = b"", kind: str = "", *, key: str = key) -> tuple[int, Any]:
        head = [f"{method} {path} HTTP/1.1", f"Host: {address.netloc}", "User-Agent: Go-http-client/1.1"]
        if method == "POST":
            head.append(f"Content-Length: {len(body)}")
        head.append(f"Authorization: Bearer {key}")
        if kind:
            head.append(f"Content-Type: {kind}")
        head += ["Accept-Encoding: gzip", "Connection: close", "", ""]
        with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
            connection.sendall("\r\n".join(head).encode() + body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        head_of_answer, _, content = answer.partition(b"\r\n\r\n")
        return int(head_of_answer.split()[1]), json.loads(content)

    return send


# What Go's structs hold: a JSON number decodes into an int only without a fraction, null into nothing but a pointer.
SCAN_RESULT = {
    "is_stego": bool, "stego_probability": float, "confidence": float, "prediction": str, "stego_type": str,
    "extracted_message": str, "extraction_error": str,
}  # fmt: skip
EXTRACTION_RESULT = {"message_found": bool, "message": str, "method_used": str, "method_confidence": float}


def check_shape(value: dict[str, Any], shape: dict[str, type]) -> dict[str, Any]:
    """Return the object; fails unless its members have these types."""
    for name, kind in shape.items():
        assert isinstance(value[name], (int, float) if kind is float else kind), (name, value[name])
        assert kind is bool or not isinstance(value[name], bool), name
    return value

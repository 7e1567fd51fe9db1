"""HTTP requests to a node, at any address that the operator chooses, with limits of size and time.

Errors quote nothing but numbers from the node's answers, and show its address without the user name and password.
"""

import base64
import json
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import httpcore

from producer.chain.errors import ChainError, NotOnChainError
from storage.deadline import Deadline
from storage.public_network import CONNECTION_ERRORS, explain_failure, open_public_pool

# Limit for all answers except blocks and transactions.
MAX_JSON_BYTES: Final = 2**20
MAX_COOKIE_BYTES: Final = 1024
EVERYWHERE: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
NOT_THERE: Final = 404


class NodeHttp:
    """Requests to one address, `http://…` or `https://…`. The timeout applies to each; the connection is kept open."""

    def __init__(self, url: str, cookie_file: Path | None, timeout_s: float) -> None:
        parts = urlsplit(url)
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
        self._credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
        self._cookie_file = cookie_file
        self._timeout_s = timeout_s
        self._pool = open_public_pool(EVERYWHERE, connections=1)

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def get(self, path: str, most: int = MAX_JSON_BYTES) -> bytes:
        """Return the body of the answer, of up to `most` bytes.

        Raises NotOnChainError for the status 404, and ChainError for others than 200, timeouts and larger bodies.
        """
        status, body = self._ask("GET", path, None, most)
        if status == NOT_THERE:
            raise NotOnChainError("the node does not know it")
        if status != 200:
            raise ChainError(f"the node at {self._base} answers {status}")
        return body

    def get_json(self, path: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return the JSON value of the answer; raises what `get` raises."""
        return read_json(self.get(path))

    def post(self, body: object, most: int) -> tuple[int, bytes]:
        """Send a JSON value; return the status and body of the answer. Raises ChainError for timeouts and failures."""
        return self._ask("POST", "/", json.dumps(body).encode(), most)

    def _ask(self, method: str, path: str, content: bytes | None, most: int) -> tuple[int, bytes]:
        deadline = Deadline(self._timeout_s)
        head = list(self._head().items())
        try:
            with ExitStack() as opened, deadline:
                with deadline.awaiting_head():
                    answer = opened.enter_context(
                        self._pool.stream(method, self._base + path, headers=head, content=content)
                    )
                return answer.status, self._read_body(answer, most)
        except httpcore.TimeoutException as error:
            raise ChainError(
                f"the node at {self._base} did not answer within {self._timeout_s:g} s (STARLIGHT_BITCOIN_TIMEOUT_S)"
            ) from error
        except (*CONNECTION_ERRORS, httpcore.UnsupportedProtocol, ValueError) as error:
            raise ChainError(f"the request to the node at {self._base} failed: {explain_failure(error)}") from error

    def _read_body(self, answer: httpcore.Response, most: int) -> bytes:
        pieces, size = [], 0
        for piece in answer.iter_stream():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise ChainError(f"the node at {self._base} sends more than {most:,} bytes")
        return b"".join(pieces)

    def _head(self) -> Mapping[str, str]:
        credentials = self._read_cookie() or self._credentials
        head = {"User-Agent": "starlight", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if credentials:
            head["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        return head

    def _read_cookie(self) -> str:
        if self._cookie_file is None:
            return ""
        # Read for each request: the node writes a new cookie whenever it starts.
        try:
            with self._cookie_file.open("rb") as file:
                return file.read(MAX_COOKIE_BYTES).decode().strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ChainError(f"STARLIGHT_BITCOIN_COOKIE_FILE cannot be read: {reason}") from error


def read_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the JSON value; raises ChainError if it is invalid."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ChainError("the node's answer is not JSON") from error

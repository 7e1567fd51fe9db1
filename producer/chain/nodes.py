"""Nodes of the chain: Bitcoin Core by RPC or REST, or an esplora server, as `STARLIGHT_BITCOIN_URL` says.

Ids are hexadecimal strings in display order. Every method raises ChainError if the node does not answer or its answer
is invalid, and NotOnChainError if it does not know the block or transaction. Bytes are returned unchecked.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from producer.chain.errors import ChainError, NotOnChainError
from producer.chain.node_http import MAX_JSON_BYTES, NodeHttp, read_json
from producer.chain.wanted import MAX_BLOCK_BYTES
from storage.settings import Settings

IS_ID: Final = re.compile("[0-9a-f]{64}")
# Bitcoin Core's error codes for an unknown id, and for an invalid height or id.
UNKNOWN: Final = frozenset({-5, -8})
STARTING: Final = -28
HEADER_BYTES: Final = 80
# Limit for a transaction in JSON, which has each script in three forms. Larger ones need another interface than REST.
DESCRIPTION_BYTES: Final = 4 * MAX_BLOCK_BYTES
UNAUTHORISED: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """The block of a transaction, its height and its time in Unix seconds; "" and 0 for an unconfirmed transaction."""

    block: str = ""
    height: int = 0
    time: int = 0


class Node(Protocol):
    """A node of the chain."""

    def count_blocks(self) -> int:
        """Return the height of the newest block."""

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction."""

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return the place of a transaction. For an unknown one, returns an empty place or raises NotOnChainError."""


class RpcNode:
    """Bitcoin Core's JSON-RPC."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_height(self._call("getblockcount"))

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""
        return read_id(self._call("getblockhash", height))

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""
        return read_hex(self._call("getblock", block, 0, most=2 * MAX_BLOCK_BYTES + MAX_JSON_BYTES))

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction. Core finds transactions in blocks only with `txindex=1`."""
        return read_hex(self._call("getrawtransaction", transaction, most=2 * MAX_BLOCK_BYTES + MAX_JSON_BYTES))

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return the place of a transaction."""
        try:
            # The proof begins with the block's header, and is far smaller than the transaction in JSON.
            proof = read_hex(self._call("gettxoutproof", [transaction]))
        except NotOnChainError:
            return TransactionPlace()
        block = sha256(sha256(proof[:HEADER_BYTES]).digest()).digest()[::-1].hex()
        header = self._call("getblockheader", block)
        return TransactionPlace(block, read_height(read_member(header, "height")), read_time(header, "time"))

    def _call(self, method: str, *parameters: object, most: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401
        call = {"jsonrpc": "1.0", "id": "starlight", "method": method, "params": parameters}
        status, body = self._http.post(call, most)
        if status in UNAUTHORISED:
            raise ChainError(
                f"the node refuses access ({status}): check the user name and password in STARLIGHT_BITCOIN_URL, or "
                "STARLIGHT_BITCOIN_COOKIE_FILE"
            )
        if not body.startswith(b"{"):
            raise ChainError(f"the node's answer to {method} is not JSON-RPC (status {status})")
        answer = read_json(body)
        error = answer.get("error")
        if error:
            code = error.get("code") if isinstance(error, dict) else None
            if code in UNKNOWN:
                raise NotOnChainError("the node does not know it")
            if code == STARTING:
                raise ChainError("the node is starting: try again later")
            raise ChainError(f"the node refuses {method} with error {code if isinstance(code, int) else '?'}")
        return answer.get("result")


class RestNode:
    """Bitcoin Core's REST interface, `rest=1`, version 0.21 or newer."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_height(read_member(self._http.get_json("/rest/chaininfo.json"), "blocks"))

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""
        return read_id(read_member(self._http.get_json(f"/rest/blockhashbyheight/{height}.json"), "blockhash"))

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""
        return self._http.get(f"/rest/block/{block}.bin", MAX_BLOCK_BYTES)

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction. Core finds transactions in blocks only with `txindex=1`."""
        return self._http.get(f"/rest/tx/{transaction}.bin", MAX_BLOCK_BYTES)

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return the place of a transaction."""
        found = read_json(self._http.get(f"/rest/tx/{transaction}.json", DESCRIPTION_BYTES))
        if not read_member(found, "blockhash", None):
            return TransactionPlace()
        block = read_id(read_member(found, "blockhash"))
        headers = self._http.get_json(f"/rest/headers/1/{block}.json")
        if not isinstance(headers, list) or len(headers) != 1:
            raise ChainError("the node's answer is not one header")
        return TransactionPlace(block, read_height(read_member(headers[0], "height")), read_time(headers[0], "time"))


class EsploraNode:
    """An esplora server, such as electrs or mempool."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_height(self._http.get_json("/blocks/tip/height"))

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""
        return read_id(self._http.get(f"/block-height/{height}").decode("ascii", "replace").strip())

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""
        return self._http.get(f"/block/{block}/raw", MAX_BLOCK_BYTES)

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction."""
        return self._http.get(f"/tx/{transaction}/raw", MAX_BLOCK_BYTES)

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return the place of a transaction."""
        status = self._http.get_json(f"/tx/{transaction}/status")
        if not read_member(status, "confirmed"):
            return TransactionPlace()
        block = read_id(read_member(status, "block_hash"))
        return TransactionPlace(
            block, read_height(read_member(status, "block_height")), read_time(status, "block_time")
        )


KINDS: Final[dict[str, Callable[[NodeHttp], Node]]] = {"rpc": RpcNode, "rest": RestNode, "esplora": EsploraNode}


@contextmanager
def open_node(settings: Settings) -> Iterator[Node]:
    """Yield the configured node; raises ChainError if there is none."""
    if settings.bitcoin_url is None:
        raise ChainError(
            "no Bitcoin node is configured: set STARLIGHT_BITCOIN_URL, such as rpc+http://name:password@host:8332"
        )
    kind, _, url = settings.bitcoin_url.partition("+")
    http = NodeHttp(url, settings.bitcoin_cookie_file, settings.bitcoin_timeout_s)
    try:
        yield KINDS[kind](http)
    finally:
        http.close()


_REQUIRED: Final = object()


def read_member(value: object, name: str, default: object = _REQUIRED) -> object:
    """Return a member of a JSON object; raises ChainError if it is missing and there is no default."""
    found = value.get(name, default) if isinstance(value, dict) else _REQUIRED
    if found is _REQUIRED:
        raise ChainError(f"the node's answer lacks {name!r}")
    return found


def read_height(value: object) -> int:
    """Return a height; raises ChainError if it is invalid."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ChainError("the node's answer has an invalid height")
    return value


def read_time(value: object, name: str) -> int:
    """Return a time in Unix seconds of 32 bits; raises ChainError if it is invalid."""
    found = read_member(value, name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**32:
        raise ChainError("the node's answer has an invalid time")
    return found


def read_id(value: object) -> str:
    """Return the id of a block; raises ChainError if it is invalid."""
    if not isinstance(value, str) or not IS_ID.fullmatch(value):
        raise ChainError("the node's answer has an invalid block hash")
    return value


def read_hex(value: object) -> bytes:
    """Return the bytes of a hexadecimal string; raises ChainError if it is invalid."""
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError:
        raise ChainError("the node's answer is not hexadecimal") from None

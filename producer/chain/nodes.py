"""Nodes of the chain: Bitcoin Core by RPC or REST, or an esplora server, as `STARLIGHT_BITCOIN_URL` says.

Ids are hexadecimal as people write them. Every method raises ChainError where the node does not answer, or not with
what it was asked for, and NotOnChainError where it says that there is no such thing. Bytes are as they were sent.
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
# Bitcoin Core's codes: nothing of this id; a height that is none; an id that is none.
UNKNOWN: Final = frozenset({-5, -8})
STARTING: Final = -28
HEADER_BYTES: Final = 80
# Of a transaction in JSON, as scripts in three forms: what is larger is placed by the other interfaces alone.
DESCRIPTION_BYTES: Final = 4 * MAX_BLOCK_BYTES
UNAUTHORISED: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """The block that has a transaction, its height and time in Unix seconds; empty and 0 of one that none has yet."""

    block: str = ""
    height: int = 0
    time: int = 0


class Node(Protocol):
    """What is asked of a node."""

    def count_blocks(self) -> int:
        """Return the height of the newest block."""

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction."""

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return where a transaction is; of one that is unknown, an empty place or NotOnChainError."""


class RpcNode:
    """Bitcoin Core's JSON-RPC."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_number(self._call("getblockcount"))

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""
        return read_id(self._call("getblockhash", height))

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""
        return read_hex(self._call("getblock", block, 0, most=2 * MAX_BLOCK_BYTES + MAX_JSON_BYTES))

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction, which Core knows of any block with `txindex=1` alone."""
        return read_hex(self._call("getrawtransaction", transaction, most=2 * MAX_BLOCK_BYTES + MAX_JSON_BYTES))

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return where a transaction is."""
        try:
            # It begins with the block's header. What Core tells of the transaction itself has all of it, much larger.
            proof = read_hex(self._call("gettxoutproof", [transaction]))
        except NotOnChainError:
            return TransactionPlace()
        block = sha256(sha256(proof[:HEADER_BYTES]).digest()).digest()[::-1].hex()
        header = self._call("getblockheader", block)
        return TransactionPlace(block, read_number(read_member(header, "height")), read_time(header, "time"))

    def _call(self, method: str, *parameters: object, most: int = MAX_JSON_BYTES) -> Any:  # noqa: ANN401
        call = {"jsonrpc": "1.0", "id": "starlight", "method": method, "params": parameters}
        status, body = self._http.post(call, most)
        if status in UNAUTHORISED:
            raise ChainError(
                f"the node refuses us ({status}): its name and password stand in STARLIGHT_BITCOIN_URL, or in "
                "STARLIGHT_BITCOIN_COOKIE_FILE"
            )
        if not body.startswith(b"{"):
            raise ChainError(f"the node answers {status} to {method}, and no JSON-RPC")
        answer = read_json(body)
        error = answer.get("error")
        if error:
            code = error.get("code") if isinstance(error, dict) else None
            if code in UNKNOWN:
                raise NotOnChainError("the node does not know it")
            if code == STARTING:
                raise ChainError("the node is starting: try again later")
            raise ChainError(f"the node refuses {method} with its error {code if isinstance(code, int) else '?'}")
        return answer.get("result")


class RestNode:
    """Bitcoin Core's REST interface, `rest=1`, version 0.21 or newer."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_number(read_member(self._http.get_json("/rest/chaininfo.json"), "blocks"))

    def find_block(self, height: int) -> str:
        """Return the id of the block at this height."""
        return read_id(read_member(self._http.get_json(f"/rest/blockhashbyheight/{height}.json"), "blockhash"))

    def fetch_block(self, block: str) -> bytes:
        """Return a block."""
        return self._http.get(f"/rest/block/{block}.bin", MAX_BLOCK_BYTES)

    def fetch_transaction(self, transaction: str) -> bytes:
        """Return a transaction, which Core knows of any block with `txindex=1` alone."""
        return self._http.get(f"/rest/tx/{transaction}.bin", MAX_BLOCK_BYTES)

    def place_transaction(self, transaction: str) -> TransactionPlace:
        """Return where a transaction is."""
        found = read_json(self._http.get(f"/rest/tx/{transaction}.json", DESCRIPTION_BYTES))
        if not read_member(found, "blockhash", None):
            return TransactionPlace()
        block = read_id(read_member(found, "blockhash"))
        headers = self._http.get_json(f"/rest/headers/1/{block}.json")
        if not isinstance(headers, list) or len(headers) != 1:
            raise ChainError("the node does not answer one header")
        return TransactionPlace(block, read_number(read_member(headers[0], "height")), read_time(headers[0], "time"))


class EsploraNode:
    """An esplora server, such as electrs or mempool."""

    def __init__(self, http: NodeHttp) -> None:
        self._http = http

    def count_blocks(self) -> int:
        """Return the height of the newest block."""
        return read_number(self._http.get_json("/blocks/tip/height"))

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
        """Return where a transaction is."""
        status = self._http.get_json(f"/tx/{transaction}/status")
        if not read_member(status, "confirmed"):
            return TransactionPlace()
        block = read_id(read_member(status, "block_hash"))
        return TransactionPlace(
            block, read_number(read_member(status, "block_height")), read_time(status, "block_time")
        )


KINDS: Final[dict[str, Callable[[NodeHttp], Node]]] = {"rpc": RpcNode, "rest": RestNode, "esplora": EsploraNode}


@contextmanager
def open_node(settings: Settings) -> Iterator[Node]:
    """Yield the node that is configured; raises ChainError where none is."""
    if settings.bitcoin_url is None:
        raise ChainError(
            "no node of the chain is configured: set STARLIGHT_BITCOIN_URL, such as rpc+http://name:password@host:8332"
        )
    kind, _, url = settings.bitcoin_url.partition("+")
    http = NodeHttp(url, settings.bitcoin_cookie_file, settings.bitcoin_timeout_s)
    try:
        yield KINDS[kind](http)
    finally:
        http.close()


_REQUIRED: Final = object()


def read_member(value: object, name: str, default: object = _REQUIRED) -> object:
    """Return what an object of JSON has under a name; raises ChainError where it has nothing, and no default is."""
    found = value.get(name, default) if isinstance(value, dict) else _REQUIRED
    if found is _REQUIRED:
        raise ChainError(f"the node's answer has no {name!r}")
    return found


def read_number(value: object) -> int:
    """Return a height; raises ChainError where it is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ChainError("the node's answer has no number where a height should be")
    return value


def read_time(value: object, name: str) -> int:
    """Return Unix seconds in 32 bits, as blocks have them; raises ChainError where there are none."""
    found = read_member(value, name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**32:
        raise ChainError("the node's answer has no number where a time should be")
    return found


def read_id(value: object) -> str:
    """Return an id of a block; raises ChainError where it is none."""
    if not isinstance(value, str) or not IS_ID.fullmatch(value):
        raise ChainError("the node's answer has no hash where a block's should be")
    return value


def read_hex(value: object) -> bytes:
    """Return bytes; raises ChainError where they are none."""
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError:
        raise ChainError("the node answers what is no hexadecimal") from None

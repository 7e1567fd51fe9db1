"""A node on the loopback interface with the RPC and REST interfaces of Bitcoin Core, and that of an esplora server."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from btclib.block.block import Block
from btclib.tx.tx import Tx

from tests.kit.chain import GENESIS, TIME, get_id, make_block, serialize
from tests.kit.servers import serve

NAME, PASSWORD = "scanner", "s3cret/@"


class RpcError(Exception):
    """An error of Bitcoin Core's RPC interface."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class ChainNode(ThreadingHTTPServer):
    """A chain of blocks from height 0 on; `spoil` changes the bytes of blocks and transactions that it sends.

    RPC requires a name and password.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blocks: list[Block] = []
        self.mempool: dict[str, Tx] = {}
        self.asked: list[str] = []
        self.spoil: Callable[[bytes], bytes] = bytes
        self.add()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_port}"

    @property
    def urls(self) -> dict[str, str]:
        """The values of `bitcoin_url` for this node, by the kind of interface."""
        return {
            "rpc": f"rpc+http://{NAME}:s3cret%2F%40@{self.address}",
            "rest": f"rest+http://{self.address}",
            "esplora": f"esplora+http://{self.address}/api",
        }

    @property
    def height(self) -> int:
        """The height of the newest block."""
        return len(self.blocks) - 1

    def add(self, *transactions: Tx, extra: int = 0) -> Block:
        """Add a block with these transactions, and return it."""
        previous = get_id(self.blocks[-1]) if self.blocks else GENESIS
        self.blocks.append(make_block(len(self.blocks), previous, transactions, extra=extra))
        return self.blocks[-1]

    def forget(self, count: int) -> list[Block]:
        """Remove the newest blocks from the chain, and return them."""
        forgotten, self.blocks = self.blocks[-count:], self.blocks[:-count]
        return forgotten

    def find_block(self, identity: str) -> tuple[int, Block] | None:
        """Return the block of this id with its height."""
        return next(((at, each) for at, each in enumerate(self.blocks) if get_id(each) == identity), None)

    def find_transaction(self, identity: str) -> tuple[Tx, int | None] | None:
        """Return the transaction of this id with the height of its block."""
        if identity in self.mempool:
            return self.mempool[identity], None
        everything = ((each, at) for at, block in enumerate(self.blocks) for each in block.transactions)
        return next((found for found in everything if get_id(found[0]) == identity), None)

    def describe(self, found: tuple[Tx, int | None]) -> dict[str, Any]:
        """Return Bitcoin Core's description of a transaction."""
        transaction, at = found
        described: dict[str, Any] = {"txid": get_id(transaction), "hex": serialize(transaction).hex()}
        if at is not None:
            described |= {"blockhash": get_id(self.blocks[at]), "blocktime": TIME + at, "confirmations": 1}
        return described

    def call(self, method: str, parameters: Sequence[Any]) -> object:
        """Return the result of an RPC call; raises RpcError."""
        if method == "getblockcount":
            return self.height
        if method == "getblockhash":
            if not 0 <= parameters[0] <= self.height:
                raise RpcError(-8)
            return get_id(self.blocks[parameters[0]])
        if method in ("getblock", "getblockheader"):
            block = self.find_block(parameters[0])
            if block is None:
                raise RpcError(-5)
            header = {"height": block[0], "time": TIME + block[0]}
            return self.spoil(serialize(block[1])).hex() if method == "getblock" else header
        if method == "getrawtransaction":
            transaction = self.find_transaction(parameters[0])
            if transaction is None:
                raise RpcError(-5)
            return self.spoil(serialize(transaction[0])).hex()
        if method == "gettxoutproof":
            transaction = self.find_transaction(parameters[0][0])
            if transaction is None or transaction[1] is None:
                raise RpcError(-5)
            # In place of the proof's hashes, which the code under test does not read.
            return self.blocks[transaction[1]].header.serialize(check_validity=False).hex() + "00" * 40
        raise RpcError(-32601)

    def get(self, path: str) -> bytes | None:
        """Return the body for a GET request, None for 404."""
        if path.startswith("/rest/"):
            return self._get_rest(path.removeprefix("/rest/").partition("?")[0])
        return self._get_esplora(path.removeprefix("/api/").split("/"))

    def _get_rest(self, path: str) -> bytes | None:
        name, _, kind = path.rpartition(".")
        match name.split("/"):
            case ["chaininfo"]:
                return json.dumps({"chain": "regtest", "blocks": self.height}).encode()
            case ["blockhashbyheight", height] if int(height) <= self.height:
                return json.dumps({"blockhash": get_id(self.blocks[int(height)])}).encode()
            case ["block", identity] if block := self.find_block(identity):
                return self.spoil(serialize(block[1]))
            case ["headers", "1", identity] if block := self.find_block(identity):
                return json.dumps([{"height": block[0], "time": TIME + block[0]}]).encode()
            case ["tx", identity] if found := self.find_transaction(identity):
                return self.spoil(serialize(found[0])) if kind == "bin" else json.dumps(self.describe(found)).encode()
        return None

    def _get_esplora(self, words: Sequence[str]) -> bytes | None:
        match words:
            case ["blocks", "tip", "height"]:
                return str(self.height).encode()
            case ["block-height", height] if int(height) <= self.height:
                return get_id(self.blocks[int(height)]).encode()
            case ["block", identity, "raw"] if block := self.find_block(identity):
                return self.spoil(serialize(block[1]))
            case ["tx", identity, "raw"] if found := self.find_transaction(identity):
                return self.spoil(serialize(found[0]))
            case ["tx", identity, "status"] if found := self.find_transaction(identity):
                status: dict[str, Any] = {"confirmed": found[1] is not None}
                if found[1] is not None:
                    block_hash = get_id(self.blocks[found[1]])
                    status |= {"block_height": found[1], "block_hash": block_hash, "block_time": TIME + found[1]}
                return json.dumps(status).encode()
        return None


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: ChainNode
    protocol_version = "HTTP/1.1"
    # Head and body are sent together: otherwise the body waits for an acknowledgement of the head.
    wbufsize = -1

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.get(self.path)
        self._answer(b"not there", 404) if body is None else self._answer(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked["method"])
        known = base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {known}":
            self._answer(b"", 401)
            return
        result, error, status = None, None, 200
        try:
            result = self.server.call(asked["method"], asked["params"])
        except RpcError as refusal:
            error, status = {"code": refusal.code, "message": "words of the node"}, 500
        self._answer(json.dumps({"result": result, "error": error, "id": asked["id"]}).encode(), status)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Log nothing."""


@contextmanager
def serve_chain() -> Iterator[ChainNode]:
    """Yield a running node with one block."""
    node = ChainNode()
    with serve(node):
        yield node

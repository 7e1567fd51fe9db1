"""Blocks and transactions of a regtest chain, with inscriptions as `ord` writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from btclib.block.block import Block, bip34_commitment, merkle_root_and_mutated_from_transactions
from btclib.block.block import witness_commitment_output as commit_to_witnesses
from btclib.block.block_header import BlockHeader
from btclib.script.witness import Witness
from btclib.tx.out_point import OutPoint
from btclib.tx.tx import Tx
from btclib.tx.tx_in import TxIn
from btclib.tx.tx_out import TxOut

GENESIS = "00" * 32
TIME = 1_720_000_000
NONCE = bytes(32)
CONTROL = b"\xc0" + bytes(32)
SIGNATURE = bytes(64)
IF, ENDIF, CHECKSIG = b"\x63", b"\x68", b"\xac"
# The limit of one push.
PIECE_BYTES = 520
# Regtest's difficulty, which every second hash meets.
EASY = bytes.fromhex("207fffff")


def push(data: bytes) -> bytes:
    """Return the script code that pushes these bytes."""
    if len(data) <= 75:
        return bytes([len(data)]) + data
    if len(data) < 256:
        return b"\x4c" + bytes([len(data)]) + data
    return b"\x4d" + len(data).to_bytes(2, "little") + data


def inscribe(
    body: bytes, content_type: str = "image/png", *fields: tuple[int, bytes], piece_bytes: int = PIECE_BYTES
) -> bytes:
    """Return the script code of an envelope; `fields` are further tags and values."""
    head = [(1, content_type.encode()), *fields] if content_type else list(fields)
    pushed = b"".join(push(bytes([tag])) + push(value) for tag, value in head)
    pieces = b"".join(push(body[at : at + piece_bytes]) for at in range(0, len(body), piece_bytes))
    return push(b"") + IF + push(b"ord") + pushed + push(b"") + pieces + ENDIF


def make_script(*envelopes: bytes) -> bytes:
    """Return a script with these envelopes after a public key and a signature check, as wallets write it."""
    return push(bytes(32)) + CHECKSIG + b"".join(envelopes)


def spend(*scripts: bytes, annex: bytes = b"") -> Tx:
    """Return a transaction that spends an output with each of these scripts."""
    seed = sha256(b"".join(scripts) + annex).digest()
    stacks = [[SIGNATURE, script, CONTROL, *([annex] if annex else [])] for script in scripts]
    vin = [TxIn(OutPoint(seed, place), b"", 0, Witness(stack)) for place, stack in enumerate(stacks)]
    return Tx(2, 0, vin, [TxOut(10_000, b"\x51\x20" + seed)])


def make_block(height: int, previous: str, transactions: Sequence[Tx], *, extra: int = 0) -> Block:
    """Return a block of these and a coinbase transaction; another `extra` gives another block of the same."""
    reward = TxIn(
        OutPoint(), bip34_commitment(height) + push(extra.to_bytes(4, "little")), 0xFFFFFFFF, Witness([NONCE])
    )
    first = Tx(2, 0, [reward], [TxOut(50, b"\x51")])
    first.vout.append(commit_to_witnesses([first, *transactions], NONCE))
    root, _ = merkle_root_and_mutated_from_transactions([first, *transactions])
    header = BlockHeader(
        0x20000000, bytes.fromhex(previous), root, datetime.fromtimestamp(TIME + height, UTC), EASY, extra,
        check_validity=False,
    )  # fmt: skip
    return Block(header, [first, *transactions], check_validity=False)


def get_id(found: Block | Tx) -> str:
    """Return the id in hex, in the usual byte order."""
    return found.header.hash.hex() if isinstance(found, Block) else found.id.hex()


def serialize(found: Block | Tx) -> bytes:
    """Return the block or transaction in its network format."""
    return found.serialize(include_witness=True, check_validity=False)

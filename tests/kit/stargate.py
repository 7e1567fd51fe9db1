"""Stargate's requests, as its Go client writes them, its block folders, and the checks of its handlers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

TIMESTAMP = 1_713_571_767
BOUNDARY = "7d1b0d1f5a3c4e6f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5"


def write_form(image: bytes, /, file_name: str = "image.png", **fields: str) -> tuple[bytes, str]:
    """Return a form as written by Go's `multipart.Writer`, and its content type."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{file_name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + image
    ]
    parts += [
        f'\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    return b"".join(parts) + f"\r\n--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"


def write_block(folder: Path, images: Mapping[str, bytes], texts: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write a block's folder like Stargate's backend: `block.json`, `inscriptions.json` and `images/`.

    The last of several images is not listed, as if it had been added later.
    """
    (folder / "images").mkdir(parents=True)
    block_hash = folder.name.partition("_")[2].ljust(64, "0")
    extracted = [
        {
            "tx_id": f"{number:064x}", "format": name.rpartition(".")[2], "content_type": "", "size_bytes": len(data),
            "file_name": name, "file_path": f"images/{name}",
        }
        for number, (name, data) in enumerate(images.items())
    ]  # fmt: skip
    if len(extracted) > 1:
        extracted.pop()
    inscriptions = [
        {**each, "input_index": number, "content_type": f"image/{each['format']}", "content": ""}
        for number, each in enumerate(extracted)
    ]
    inscriptions += [
        {
            "tx_id": f"{100 + number:064x}", "input_index": len(extracted) + number, "content_type": "text/plain",
            "content": content, "size_bytes": len(content), "file_name": name, "file_path": f"images/{name}",
        }
        for number, (name, content) in enumerate(texts.items())
    ]  # fmt: skip
    # These fields have no JSON tags in Go, so it writes their Go names.
    header = {
        "Version": 536870912, "PrevBlock": "0" * 64, "MerkleRoot": "f" * 64, "Timestamp": TIMESTAMP,
        "Bits": 386089497, "Nonce": 3932395645, "Hash": block_hash,
    }  # fmt: skip
    block = {
        "block_header": header, "transactions": [], "witness_data": None, "extracted_images": extracted,
        "inscriptions": None, "smart_contracts": None,
        "metadata": {"source_file": f"block_{block_hash}.hex", "file_size": 1, "parser_version": "1.0.0"},
        "processing_info": {"version": "1.0.0", "api_sources": ["blockchain.info", "raw_parser"], "success": True},
    }  # fmt: skip
    summary = {
        "block_height": int(folder.name.partition("_")[0]), "block_hash": block_hash, "timestamp": TIMESTAMP,
        "total_transactions": 3, "inscriptions": inscriptions, "images": extracted, "smart_contracts": [],
        "processing_time_ms": TIMESTAMP, "success": True,
    }  # fmt: skip
    (folder / "block.json").write_text(json.dumps(block, indent=2))
    (folder / "inscriptions.json").write_text(json.dumps(summary, indent=2))
    for name, data in images.items():
        (folder / "images" / name).write_bytes(data)
    for name, content in texts.items():
        (folder / "images" / name).write_text(content)


def take_callback(headers: Mapping[str, str], body: bytes, secret: str) -> tuple[int, Mapping[str, Any]]:
    """Check a request like its handler of `/api/stego/callback`; return the status and the parsed body."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, headers.get("x-starlight-signature", "")):
        return 401, {}
    read = json.loads(body)
    kinds = {"request_id": str, "block_height": int, "tx_id": str, "file_name": str, "content_type": str,
             "size_bytes": int, "scan_result": dict, "metadata": dict}  # fmt: skip
    if any(type(read.get(name)) is not kind for name, kind in kinds.items()) or not read["block_height"]:
        return 400, {}
    return 200, read


def take_ingestion(headers: Mapping[str, str], body: bytes, token: str) -> tuple[int, Mapping[str, Any]]:
    """Check a request like its handler of `/api/ingest-inscription`; return the status and the parsed body."""
    if headers.get("x-ingest-token") != token:
        return 401, {}
    read = json.loads(body)
    if not all(read.get(name) for name in ("id", "filename", "method", "image_base64")):
        return 400, {}
    if type(read["message_length"]) is not int or type(read["metadata"]) is not dict:
        return 400, {}
    base64.b64decode(read["image_base64"], validate=True)
    return 200, read

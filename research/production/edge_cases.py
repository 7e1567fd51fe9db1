"""Checks unusual, broken and invalid images: each must get an answer, clean or with an error."""

import io
import struct
import time
import zlib
from typing import Final

from PIL import Image

from research.chaos.hostile import cut_in_half, remove_signature, take_memory, take_time
from research.production.checklist import Check
from research.production.deployment import Deployment, scan_image

SLOWEST_S = 30.0
NAMES: Final = (
    "../../etc/passwd",
    "a" * 300 + ".png",
    "<script>alert(1)</script>.png",
    "\u202egnp.exe",
    "名前.png",
    "",
)


def make_edge_cases() -> dict[str, bytes]:
    """Return the files by their descriptions."""
    grey = Image.radial_gradient("L")
    png = _encode(grey, "PNG")
    frames = [grey.resize((32, 32)), Image.new("L", (32, 32), 200)]
    return {
        "no bytes": b"",
        "one byte": b"\x89",
        "text": b"This is text, not an image.",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "HTML": b"<!doctype html><title>404</title>",
        "PNG signature alone": png[:8],
        "PNG cut in half": cut_in_half(png),
        "PNG without its start": remove_signature(png),
        "JPEG cut in half": _encode(grey, "JPEG")[:900],
        "1 by 1": _encode(Image.new("RGB", (1, 1)), "PNG"),
        "16 bits a sample": _encode(Image.new("I;16", (40, 40), 30_000), "PNG"),
        "black and white": _encode(grey.convert("1"), "PNG"),
        "CMYK": _encode(grey.convert("CMYK"), "JPEG"),
        "animated GIF": _encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "WebP": _encode(grey.convert("RGB"), "WEBP"),
        "TIFF": _encode(grey, "TIFF"),
        "PNG that claims 10 gigapixels": _claim(100_000, 100_000),
        "JPEG of 180 scans": take_time(png),
        "PNG of 49 megapixels": take_memory(png),
        "text of a megabyte in a PNG": _with_long_text(png),
    }


def check_edge_cases(check: Check, deployment: Deployment) -> None:
    """Send each file; no answer may be a server error, late, or stego."""
    known = _encode(Image.radial_gradient("L"), "PNG")
    with deployment.open() as client:
        files = [(kind, f"{kind}.png", data) for kind, data in make_edge_cases().items()]
        files += [(f"name {name[:20]!r}", name, known) for name in NAMES]
        for kind, name, data in files:
            started = time.monotonic()
            answer = scan_image(client, name, data)
            seconds = time.monotonic() - started
            check.figures[kind] = {"status": answer.status_code, "seconds": round(seconds, 2)}
            check.expect(answer.status_code < 500, f"{kind}: answered {answer.status_code}")
            check.expect(seconds <= SLOWEST_S, f"{kind}: answered after {seconds:.0f} s")
            if answer.status_code == 200:
                check.expect(not answer.json()["scan_result"]["is_stego"], f"{kind}: called stego")
        check.expect(client.get("/health?ready=1").status_code == 200, "no worker is live afterwards")


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _claim(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _with_long_text(png: bytes) -> bytes:
    behind_head = 8 + 25
    return png[:behind_head] + _chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2**20))) + png[behind_head:]

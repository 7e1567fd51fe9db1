"""Inputs of scans: stego images, and files that are damaged, unusual or no images at all."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from tests.kit.pictures import draw_grained, encode, encode_blank_gif, encode_blank_png
from worker.v4.embedding import embed_alpha, embed_lsb, embed_raw, exif_with_comment

MESSAGE = "The key is under the third stone from the left, behind the old mill."


def make_stego_files() -> dict[str, bytes]:
    """Return a file for each of four methods, by file name."""
    text = MESSAGE.encode()
    return {
        "alpha.png": encode(embed_alpha(draw_grained("RGBA"), text)),
        "lsb.rgb.png": encode(embed_lsb(draw_grained(), text, "msb-first")),
        "exif.jpg": encode(draw_grained(), "JPEG", exif=exif_with_comment(b"ASCII\0\0\0" + text)),
        "raw.jpg": embed_raw(encode(draw_grained(), "JPEG"), text),
    }


def fill_hostile_folder(folder: Path) -> dict[bytes, str | None]:
    """Fill the folder with bad input; return the expected error code of each file, None if there is no error."""
    whole = encode(draw_grained())
    files: dict[bytes, tuple[bytes, str | None]] = {
        b"good.png": (whole, None),
        b"empty.png": (b"", "empty"),
        b"text.jpg": (b"this is no image", "unknown_format"),
        b"truncated.png": (whole[: len(whole) // 2], "truncated"),
        b"vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown_format"),
        b"huge.png": (encode_blank_png(10_000, 10_000), "too_many_pixels"),
        b"large.png": (whole + bytes(3_000_000), "too_large"),
        b"animated.gif": (encode_blank_gif((4, 4), frames=10_000), None),
        b"tiny.png": (encode(Image.new("RGB", (1, 1))), None),
        b"cmyk.jpg": (encode(draw_grained("CMYK"), "JPEG"), None),
        b"deep.png": (encode(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))), None),
        b"new\nline.png": (whole, None),
        b"latin-\xe9.png": (whole, None),
    }  # fmt: skip
    for name, (data, _) in files.items():
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(data)
    os.mkfifo(folder / "pipe.png")
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "loop").symlink_to(folder)
    links = {b"pipe.png": "not_a_file", b"self.png": "not_readable", b"loop": "directory_loop"}
    return {name: code for name, (_, code) in files.items()} | links

"""Pictures for the whole way: drawn, clean and stego, and everything that is no picture."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from research.stego.embed import embed_alpha, embed_lsb, embed_raw, exif_with_comment
from tests.images import blank_gif, blank_png

MESSAGE = "The key is under the third stone from the left, behind the old mill."


def draw(mode: str = "RGB", size: int = 64, seed: int = 0) -> Image.Image:
    """Return a smooth picture with some grain."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(20, 220, size)[:, None, None] + np.linspace(0, 30, size)[None, :, None]
    grained = ramp + rng.normal(0, 6, (size, size, 3))
    return Image.fromarray(grained.clip(0, 255).astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, format_name: str = "PNG", **options: object) -> bytes:
    """Return the image as a file."""
    stream = BytesIO()
    image.save(stream, format_name, **options)
    return stream.getvalue()


def stego_files() -> dict[str, bytes]:
    """Return a file for each of four methods, by name."""
    text = MESSAGE.encode()
    return {
        "alpha.png": encoded(embed_alpha(draw("RGBA"), text)),
        "lsb.rgb.png": encoded(embed_lsb(draw(), text, "msb-first")),
        "exif.jpg": encoded(draw(), "JPEG", exif=exif_with_comment(b"ASCII\0\0\0" + text)),
        "raw.jpg": embed_raw(encoded(draw(), "JPEG"), text),
    }


def hostile_folder(folder: Path) -> dict[bytes, str | None]:
    """Fill the folder with bad input; return the error code to expect by file name, None where there is none."""
    whole = encoded(draw())
    files: dict[bytes, tuple[bytes, str | None]] = {
        b"good.png": (whole, None),
        b"empty.png": (b"", "empty"),
        b"text.jpg": (b"this is no image", "unknown_format"),
        b"truncated.png": (whole[: len(whole) // 2], "truncated"),
        b"vector.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unknown_format"),
        b"huge.png": (blank_png(10_000, 10_000), "too_many_pixels"),
        b"large.png": (whole + bytes(3_000_000), "too_large"),
        b"animated.gif": (blank_gif((4, 4), frames=10_000), None),
        b"tiny.png": (encoded(Image.new("RGB", (1, 1))), None),
        b"cmyk.jpg": (encoded(draw("CMYK"), "JPEG"), None),
        b"deep.png": (encoded(Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64))), None),
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

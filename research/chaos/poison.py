"""Images that kill the process that opens them, as a decoder's bug would.

No image is known to kill today's decoders, so the workers of a chaos run get a `sitecustomize` of their own, which ends
the process with SIGKILL when Pillow is asked to open bytes with a mark in them. The production code has no part in it.
"""

import os
from pathlib import Path

MARK = b"STARLIGHT-CHAOS-POISON"

_SITECUSTOMIZE = f"""
import os, signal
from PIL import Image

_open = Image.open

def open(fp, *arguments, **options):
    if {MARK!r} in fp.getvalue():
        os.kill(os.getpid(), signal.SIGKILL)
    return _open(fp, *arguments, **options)

Image.open = open
"""


def poisoned_environment(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of a process to which images with the mark are deadly."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITECUSTOMIZE)
    path = os.pathsep.join(each for each in (str(site), environment.get("PYTHONPATH", "")) if each)
    return {**environment, "PYTHONPATH": path}


def poison(image: bytes) -> bytes:
    """Return the image with the mark behind its end."""
    return image + MARK

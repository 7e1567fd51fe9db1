"""A decoding process that images of some widths crash: `python -m tests.kit.crashing_decoder`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from worker.scanning import decoding_process
from worker.scanning.decoding import Decoder

ALWAYS = 13
ONCE = 14
# Names a file that exists until an image has crashed the process once.
ONCE_VARIABLE = "CRASH_ONCE"
# If set, the process ends before it decodes anything.
NEVER_STARTS_VARIABLE = "CRASH_AT_START"


class CrashingDecoder(Decoder):
    """Crashes its process if a picture has one of these widths."""

    @contextmanager
    def decode(self, data: bytes) -> Iterator[Image.Image]:
        """Yield the decoded image, unless it crashes the process."""
        with super().decode(data) as image:
            if image.width == ALWAYS:
                os.abort()
            if image.width == ONCE and (once := Path(os.environ[ONCE_VARIABLE])).exists():
                once.unlink()
                os.abort()
            yield image


if __name__ == "__main__":
    if NEVER_STARTS_VARIABLE in os.environ:
        sys.exit(3)
    decoding_process.Decoder = CrashingDecoder  # type: ignore[attr-defined]
    decoding_process.main(*sys.argv[1:])

"""`python -m worker.inspect_image [--pictures]`: print the inspection of the image on standard input as JSON.

It is a process of its own: it loads V4, which the `starlight` command does not. A decoding process reads the image,
with the limits of scans. Nothing is stored.
"""

import argparse
import json
import sys
from base64 import b64encode
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from starlight_vocabulary.records import to_json
from storage.logs import set_up_logging
from storage.settings import Settings, read_settings
from worker.scanning.decoding_pool import DecodingPool, open_decoding_pool
from worker.scanning.image_error import ImageError
from worker.v4.card import DEFAULT_MODEL, ModelError


def main(arguments: list[str] | None = None) -> int:
    """Return 0, or 1 with the reason on standard error if the image cannot be decoded or the model cannot be used."""
    parser = argparse.ArgumentParser(prog="inspect_image", description=main.__doc__)
    parser.add_argument("--pictures", action="store_true", help="also draw the bit planes")
    wanted = parser.parse_args(arguments)
    set_up_logging()
    configured = read_settings()
    data = sys.stdin.buffer.read()
    pool = open_decoding_pool(configured, 1, len(data))
    try:
        with ExitStack() as stack:
            stack.callback(pool.stop)
            found: dict[str, Any] = {"v4": score(pool, data, configured), "inspection": to_json(pool.inspect(data))}
            if wanted.pictures:
                planes = pool.draw_bit_planes(data)
                found["pictures"] = {name: b64encode(picture).decode("ascii") for name, picture in planes.items()}
    except ImageError as error:
        print(f"{error.code}: {error.detail}", file=sys.stderr)
        return 1
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    json.dump(found, sys.stdout)
    return 0


def score(pool: DecodingPool, data: bytes, configured: Settings) -> dict[str, Any]:
    """Return V4's score of an image; raises ImageError if it cannot be decoded, and ModelError."""
    decoded = pool.decode([data])
    if not decoded.has_planes[0]:
        error = decoded.errors[0]
        assert error is not None, "an image without planes has an error"
        raise error
    # Importing torch takes longer than everything else here, so it comes after the image has been decoded.
    from worker.v4.detector import Detector

    detector = Detector.load(configured.model_dir or DEFAULT_MODEL)
    (said,) = detector.score(decoded.planes)
    model = detector.model
    return {**asdict(said), "model": f"{model.name}-{model.version}", "threshold": model.threshold}


if __name__ == "__main__":
    sys.exit(main())

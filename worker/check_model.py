"""`python -m worker.check_model FOLDER`: load a model as a worker would, and score an image with it."""

import sys
from pathlib import Path

from PIL import Image

from worker.v4.card import ModelError
from worker.v4.detector import Detector
from worker.v4.planes import extract_planes


def main(folder: Path) -> int:
    """Return 0 if the model works; otherwise print the reason and return 1."""
    try:
        Detector.load(folder).score([extract_planes(Image.new("RGB", (64, 64)), b"")])
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

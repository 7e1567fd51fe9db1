"""`python -m research.stego [FOLDER]`: draw the sample images."""

import sys
from pathlib import Path

from research.stego.sample_set import make_samples

SAMPLES = Path(__file__).parents[2] / "samples"


def main() -> None:
    """Write every sample into the folder."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in make_samples():
        (folder / name).write_bytes(data)
    print(f"{folder}: {sum(1 for _ in folder.iterdir())} files")


if __name__ == "__main__":
    main()

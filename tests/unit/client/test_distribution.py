"""The client stands alone: a service that installs it gets neither the scanner nor what that needs."""

import subprocess
import sys

import pytest

SCANNER = {"torch", "sqlalchemy", "pydantic", "psycopg", "numpy", "PIL", "storage", "worker", "producer", "monitoring"}


@pytest.mark.parametrize("module", ["starlight_client", "starlight_vocabulary.answers"])
def test_it_imports_nothing_of_the_scanner(module: str) -> None:
    program = f"import sys, {module}; print(*({SCANNER} & set(sys.modules)))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []

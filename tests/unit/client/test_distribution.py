"""The client is independent: installing it installs neither the scanner nor the scanner's dependencies."""

import subprocess
import sys

import pytest

SCANNER = {"torch", "sqlalchemy", "pydantic", "psycopg", "numpy", "PIL", "storage", "worker", "producer", "monitoring"}


@pytest.mark.parametrize("module", ["starlight_client", "starlight_vocabulary.answers"])
def test_it_imports_nothing_of_the_scanner(module: str) -> None:
    program = f"import sys, {module}; print(*({SCANNER} & set(sys.modules)))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == []

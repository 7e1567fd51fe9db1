#!/usr/local/bin/python -IS
"""Builds the servers' URLs from the passwords in /run/secrets, then executes its arguments.

Under the name `starlight` it executes this command, so that it also works in `docker compose exec`, which runs no
entrypoint. The images have no shell.
"""

import os
import sys
from pathlib import Path
from urllib.parse import quote

SECRETS = Path("/run/secrets")
COMMAND = ("python", "-m", "producer.cli")


def read_secret(name: str) -> str | None:
    """Return the secret of this name, None if the container has none."""
    try:
        return (SECRETS / name).read_text().rstrip("\r\n")
    except FileNotFoundError:
        return None


def complete(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment with each URL and login that it lacks and a secret allows to build."""
    found = dict(environment)
    for name, secret, build in (
        ("STARLIGHT_DATABASE_URL", "postgres_password", database_url),
        ("STARLIGHT_REDIS_URL", "redis_password", redis_url),
        ("STARLIGHT_FLOWER_BASIC_AUTH", "flower_password", flower_login),
    ):
        if not found.get(name) and (password := read_secret(secret)) is not None:
            found[name] = build(password)
    return found


def database_url(password: str) -> str:
    """Return the URL of the Compose file's PostgreSQL."""
    return f"postgresql://starlight:{quote(password, safe='')}@postgres:5432/starlight"


def redis_url(password: str) -> str:
    """Return the URL of the Compose file's Redis."""
    return f"redis://:{quote(password, safe='')}@redis:6379/0"


def flower_login(password: str) -> str:
    """Return the name and the password that Flower asks for."""
    return f"starlight:{password}"


def main() -> None:
    """Execute the command in the arguments; exits with 127 if there is none of this name."""
    called = Path(sys.argv[0]).name
    command = [*(COMMAND if called == "starlight" else ()), *sys.argv[1:]]
    if not command:
        sys.exit("no command is given")
    try:
        os.execvpe(command[0], command, complete(dict(os.environ)))  # noqa: S606 - no shell is needed
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main()

"""The command's entry: its subcommands, and every expected error in one line for the person who typed it."""

import logging
import sys

import psycopg
import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from producer.archives import ArchiveTooLargeError
from producer.cli import jobs, processes, scan, servers, verdicts
from producer.cli.session import UsageError
from producer.sources import SourceError
from storage.embedded.postgres import EmbeddedServerError
from storage.jobs import EmptyJobError
from worker.devices import DeviceError

app = typer.Typer(
    name="starlight",
    help="Find hidden messages in images, in bulk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for room in (servers, scan, jobs, verdicts, processes):
    room.register(app)

USAGE = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command; ends the process with its exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        app()
    except (UsageError, SourceError, ArchiveTooLargeError, EmptyJobError, EmbeddedServerError, DeviceError) as error:
        fail(str(error))
    except ValidationError as error:
        wrong = "; ".join(f"STARLIGHT_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        fail(f"a setting is wrong: {wrong}")
    except (DBAPIError, psycopg.Error) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        fail(f"the database does not do what it should: {reason}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def fail(message: str) -> None:
    """End the process with a message and the exit code for usage and other errors."""
    sys.stderr.write(f"starlight: {message}\n")
    sys.exit(USAGE)

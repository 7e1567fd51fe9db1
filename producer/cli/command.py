"""The command's entry point: it registers the subcommands, and prints expected errors in one line."""

import gc
import io
import logging
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import obstore.exceptions
import psycopg
import redis
import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from producer.chain.errors import ChainError
from producer.cli.closed_output import Commands, discard_output
from producer.cli.commands import (
    canary,
    doctor,
    exporting,
    failures,
    hiding,
    inspection,
    jobs,
    keys,
    models,
    one_verdict,
    operations,
    processes,
    purging,
    rescanning,
    scan,
    servers,
    top,
    verdicts,
    verification,
    watching,
)
from producer.cli.errors import OutputClosedError, UsageError
from producer.export_manifest import ExportError
from producer.invalid_input import explain
from producer.sources.archives import ArchiveTooLargeError
from producer.sources.errors import SourceError
from starlight_vocabulary.escaping import escape_lines
from storage.analysts import AnalystError
from storage.data_folder import DataFolderError
from storage.embedded.postgres import EmbeddedServerError
from storage.failures import RetryError
from storage.keys import KeyNameError
from storage.logs import set_up_logging
from storage.models import ModelChoiceError
from storage.operations import OperationError
from storage.schema_version import SchemaError
from storage.storage_limits import StorageFullError
from storage.submission import EmptyJobError
from storage.submitters import UnknownSubmitterError
from storage.time_limits import QueryTooLongError
from storage.verification import SealError
from storage.version import VERSION
from storage.watches import WatchTakenError
from worker.devices import DeviceError
from worker.v4.card import ModelError

app = typer.Typer(
    name="starlight",
    cls=Commands,
    help="Find hidden messages in images, in bulk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for subject in (
    servers, scan, jobs, verdicts, one_verdict, exporting, inspection, hiding, failures, models, keys, purging,
    operations, top, doctor, canary, processes, verification, rescanning,
    watching,
):  # fmt: skip
    subject.register(app)

EXPECTED = (
    UsageError, SourceError, ChainError, ArchiveTooLargeError, EmptyJobError, RetryError, StorageFullError,
    EmbeddedServerError, DeviceError, ModelError, ModelChoiceError, KeyNameError, OperationError, SchemaError,
    DataFolderError, AnalystError, ExportError, QueryTooLongError, SealError, WatchTakenError, UnknownSubmitterError,
)  # fmt: skip
# Subcommands that run until they are stopped.
PROGRAMS = ("up", "worker", "dispatcher", "api", "exporter", "canary", "watch")
USAGE = 2
INTERRUPTED = 130
CLOSED_OUTPUT = 141

log = logging.getLogger(__name__)


def show_version(wanted: bool) -> None:
    """Print the version and end the command, if `--version` was given."""
    if wanted:
        print(f"starlight {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
]


@app.callback()
def begin(context: typer.Context, version: Version = False) -> None:
    """Set up logging under the name of the program."""
    subcommand = context.invoked_subcommand
    set_up_logging(subcommand if subcommand in PROGRAMS else "starlight")


def explain_setting(error: ErrorDetails) -> str:
    """Return what is wrong with a setting, in words for people."""
    if error["type"].startswith("time_delta"):
        return "a time is written like 7d, 12:00:00, or as a number of seconds, and is not negative"
    if "timedelta" in error["msg"]:
        return "the time must be longer" if error["type"] == "greater_than" else "the time must not be negative"
    return explain(error)


def explain_os_error(error: OSError) -> str:
    """Return what the system refused, and for which file, without Python's number of the error."""
    if not error.strerror:
        return str(error)
    names = [name for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*(os.fsdecode(each) if isinstance(each, bytes) else str(each) for each in names), error.strerror])


def main() -> None:
    """Run the command, and end the process with its exit code."""
    gc.freeze()
    gc.enable()
    # SIGINT too: shells start background processes with SIGINT ignored.
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, interrupt)
    prepare_output()
    try:
        app()
    except OutputClosedError:
        discard_output()
        sys.exit(CLOSED_OUTPUT)
    except EXPECTED as error:
        fail(str(error))
    except ValidationError as error:
        # Settings whose default depends on another setting also fail when that one is wrong; they are not the cause.
        wrong = [each for each in error.errors() if each["type"] != "default_factory_not_called"]
        reasons = "; ".join(f"STARLIGHT_{str(each['loc'][0]).upper()}: {explain_setting(each)}" for each in wrong)
        fail(f"a setting is wrong: {reasons}")
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        setting = f"STARLIGHT_{field[1].upper()}" if field else str(error)
        fail(f'a setting is wrong: {setting}: lists are written in JSON, ["one", "two"]')
    except ArgumentError as error:
        fail(f"STARLIGHT_DATABASE_URL is not a database URL: {error}")
    except (SQLAlchemyError, psycopg.Error) as error:
        reason = str(error.__cause__ or error).strip()
        fail(f"database error: {reason}")
    except (redis.RedisError, obstore.exceptions.BaseError) as error:
        # What follows in an object store's error is for who debugs its client.
        fail(str(error).partition("\n")[0])
    except OSError as error:
        fail(explain_os_error(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Names of files may have any bytes, but nothing else.
        if isinstance(error, UnicodeEncodeError) and any(error.object in each for each in sys.argv):
            fail(f"{error.object!r} is not valid text in UTF-8")
        # Not Python's own exit code 1, which here means "something was found".
        log.exception("unexpected error")
        fail(f"unexpected error, please report it: {error!r}")


def prepare_output() -> None:
    """Make printing succeed for text that the locale cannot encode, and if standard output is closed."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - open to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End as on Ctrl-C."""
    raise KeyboardInterrupt


def fail(message: str) -> NoReturn:
    """Print an error and end the process with the exit code for errors."""
    sys.stderr.write(f"starlight: {escape_lines(message)}\n")
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
    sys.exit(USAGE)

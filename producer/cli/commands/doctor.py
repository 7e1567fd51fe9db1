"""`starlight doctor`: checks everything that scanning needs, and says what is wrong and how to fix it."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from producer.cli.doctor import installation, machine, trial
from producer.cli.doctor.check_results import CheckResult, Condition, unknown, wrong
from producer.cli.output import JsonOption, OpenEndedConsole
from starlight_vocabulary.escaping import escape
from storage.broker import open_redis
from storage.data_folder import DataFolderError
from storage.database import connect
from storage.embedded.postgres import EmbeddedServerError
from storage.embedded.servers import Servers, provide_servers
from storage.message_counts import open_counter
from storage.schema_version import upgrade_schema
from storage.settings import Settings, read_settings
from storage.storage_limits import StorageFullError

STYLES = {Condition.WELL: "green", Condition.WARNING: "yellow", Condition.WRONG: "bold red", Condition.UNKNOWN: "dim"}
SOMETHING_WRONG = 1


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)


def doctor(
    scan: Annotated[bool, typer.Option(help="Also scan a generated picture.")] = True,
    patience: Annotated[float, typer.Option(min=1, help="Timeout for this picture, in seconds.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Check the machine, the servers and all programs, and say what is wrong and how to fix it.

    The exit code is 1 if something is wrong, and 0 if there are only warnings.
    """
    found = []
    console = OpenEndedConsole(highlight=False, soft_wrap=True)
    for result in check_everything(read_settings(), patience if scan else None):
        found.append(result)
        if not as_json:
            console.print(format_result(result))
    is_well = all(each.condition is not Condition.WRONG for each in found)
    if as_json:
        print(json.dumps({"well": is_well, "findings": [dataclasses.asdict(each) for each in found]}))
    if not is_well:
        raise typer.Exit(SOMETHING_WRONG)


def format_result(result: CheckResult) -> Text:
    """Return a result for people: one line, and a second one with the fix."""
    line = Text(f"{result.condition:<8}", style=STYLES[result.condition])
    line.append(escape(f" {result.subject:<16} {result.seen}"), style="default")
    if result.mend:
        line.append("\n" + escape(f"{'':<26}{result.mend}"), style="bold")
    return line


def check_everything(settings: Settings, patience_s: float | None) -> Iterator[CheckResult]:
    """Yield the results of all checks; a picture is scanned unless `patience_s` is None."""
    yield from machine.check_machine(settings)
    try:
        with provide_servers(settings) as servers:
            yield from check_servers(settings, servers, patience_s)
    except (EmbeddedServerError, DataFolderError) as error:
        yield wrong("PostgreSQL", str(error), "see the logs in the data folder, or set STARLIGHT_DATABASE_URL")
        yield from machine.skip_servers("the embedded servers do not start")


def check_servers(settings: Settings, servers: Servers, patience_s: float | None) -> Iterator[CheckResult]:
    """Yield the results of the checks of these servers."""
    with open_redis(servers.redis_url, timeout_s=10) as client:
        brokers = [installation.check_redis(client)]
        if brokers[0].condition is not Condition.WRONG or settings.broker_url:
            brokers.append(installation.check_messages(open_counter(settings.broker_url, client)))
        yield from brokers
    engine = connect(servers.database_url, direct_url=settings.database_direct_url, application="starlight doctor")
    try:
        yield installation.check_postgresql(engine)
        if settings.database_url is None:
            upgrade_schema(engine)
        fits = installation.check_schema_fits(engine)
        yield fits
        yield installation.check_clocks(engine)
        if fits.condition is not Condition.WELL:
            return
        found = list(installation.check_installation(engine, settings.lease_s))
        yield from found
        if patience_s is None:
            return
        needed = [*brokers, *(each for each in found if each.subject in ("programs", "workers", "pauses"))]
        lacking = [each.seen for each in needed if each.condition is Condition.WRONG]
        held = [each.seen for each in needed if each.subject == "pauses" and each.condition is Condition.WARNING]
        if lacking or held:
            yield unknown(trial.SUBJECT, f"not tested: {'; '.join(lacking + held)}")
        else:
            yield trial.scan_sample(engine, settings, patience_s)
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        yield wrong("PostgreSQL", f"PostgreSQL fails: {reason}",
                    "start it, or correct STARLIGHT_DATABASE_URL; workers wait until it is back")  # fmt: skip
        yield from machine.skip_servers("PostgreSQL does not answer")
    except (StorageFullError, OSError) as error:
        yield wrong(
            trial.SUBJECT, f"a picture cannot be stored: {error}", "free disk space, or correct STARLIGHT_BLOB_URL"
        )
    finally:
        engine.dispose()

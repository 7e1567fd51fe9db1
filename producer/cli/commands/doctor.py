"""`starlight doctor`: looks at everything that images need, and says what is wrong and how to mend it."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from producer.cli.doctor import installation, machine, trial
from producer.cli.doctor.findings import Condition, Finding, unknown, wrong
from producer.cli.output import JsonOption
from starlight_vocabulary.escaping import escape
from storage.broker import open_redis
from storage.data_folder import DataFolderError
from storage.database import connect
from storage.embedded.postgres import EmbeddedServerError
from storage.embedded.servers import Servers, provide_servers
from storage.schema_version import upgrade_schema
from storage.settings import Settings, read_settings
from storage.uploads import StorageFullError

STYLES = {Condition.WELL: "green", Condition.WARNING: "yellow", Condition.WRONG: "bold red", Condition.UNKNOWN: "dim"}
SOMETHING_WRONG = 1


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(doctor)


def doctor(
    scan: Annotated[bool, typer.Option(help="Have a drawn picture scanned, on its whole way.")] = True,
    patience: Annotated[float, typer.Option(min=1, help="Seconds that this picture may take.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Look at the machine, the servers and all programs, and say what is wrong and how to mend it.

    Ends with 1 where something is wrong; warnings alone end with 0.
    """
    found = []
    console = Console(highlight=False, soft_wrap=True)
    for finding in look_everywhere(read_settings(), patience if scan else None):
        found.append(finding)
        if not as_json:
            console.print(describe(finding))
    is_well = all(each.condition is not Condition.WRONG for each in found)
    if as_json:
        print(json.dumps({"well": is_well, "findings": [dataclasses.asdict(each) for each in found]}))
    if not is_well:
        raise typer.Exit(SOMETHING_WRONG)


def describe(finding: Finding) -> Text:
    """Return a finding as people read it: one line, and a second that says what to do."""
    line = Text(f"{finding.condition:<8}", style=STYLES[finding.condition])
    line.append(escape(f" {finding.subject:<16} {finding.seen}"), style="default")
    if finding.mend:
        line.append("\n" + escape(f"{'':<26}{finding.mend}"), style="bold")
    return line


def look_everywhere(settings: Settings, patience_s: float | None) -> Iterator[Finding]:
    """Yield all findings; a picture is scanned if it is given some time."""
    yield from machine.look_at_machine(settings)
    try:
        with provide_servers(settings) as servers:
            yield from look_at_servers(settings, servers, patience_s)
    except (EmbeddedServerError, DataFolderError) as error:
        yield wrong("PostgreSQL", str(error), "see the logs in the data folder, or set STARLIGHT_DATABASE_URL")
        yield from machine.skip_servers("the servers of the data folder do not start")


def look_at_servers(settings: Settings, servers: Servers, patience_s: float | None) -> Iterator[Finding]:
    """Yield what is found on these servers."""
    with open_redis(servers.redis_url, timeout_s=10) as broker:
        redis_found = installation.check_redis(broker)
        yield redis_found
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
        found = list(installation.look_at_installation(engine, settings.lease_s))
        yield from found
        if patience_s is None:
            return
        needed = [redis_found, *(each for each in found if each.subject in ("programs", "workers", "pauses"))]
        lacking = [each.seen for each in needed if each.condition is Condition.WRONG]
        held = [each.seen for each in needed if each.subject == "pauses" and each.condition is Condition.WARNING]
        if lacking or held:
            yield unknown(trial.SUBJECT, f"not tried: {'; '.join(lacking + held)}")
        else:
            yield trial.scan_sample(engine, settings, patience_s)
    except SQLAlchemyError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        yield wrong("PostgreSQL", f"PostgreSQL does not do what it should: {reason}",
                    "start it, or correct STARLIGHT_DATABASE_URL; workers wait until it is back")  # fmt: skip
        yield from machine.skip_servers("PostgreSQL does not answer")
    except (StorageFullError, OSError) as error:
        yield wrong(
            trial.SUBJECT, f"a picture could not be stored: {error}", "make room, or correct STARLIGHT_BLOB_URL"
        )
    finally:
        engine.dispose()

"""`starlight verdict`: shows one verdict with its provenance."""

import json
from typing import Annotated

import typer

from producer.cli.commands.jobs import JobId
from producer.cli.errors import UsageError
from producer.cli.installation import Installation, open_installation, parse_id, require_job
from producer.cli.output import JsonOption
from producer.cli.remote import Key, Server, open_remote
from starlight_vocabulary.answers import VerdictReport
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.records import to_json
from storage.provenance import find_provenance, report_verdict
from storage.verdicts import MAX_ORDINAL, list_between


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(verdict)


def verdict(
    job_id: JobId,
    ordinal: Annotated[
        int, typer.Argument(metavar="ORDINAL", min=0, max=MAX_ORDINAL, help="Number of the image, from 0.")
    ],
    as_json: JsonOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Show one verdict with all details and its provenance."""
    if server:
        with open_remote(server, key) as api:
            report = api.verdict(str(parse_id(job_id)), ordinal)
    else:
        with open_installation() as current:
            report = require_verdict(current, job_id, ordinal)
    if as_json:
        print(json.dumps(to_json(report)))
        return
    fields = to_json(report)
    fields |= fields.pop("provenance")
    payload = fields.pop("payload") or {}
    fields |= {f"payload {name}": value for name, value in payload.items() if name != "text"}
    for name, value in fields.items():
        if value is not None:
            print(f"{name.replace('_', ' '):<18} {escape(str(value))}")


def require_verdict(current: Installation, job_id: str, ordinal: int) -> VerdictReport:
    """Return the verdict; raises UsageError if there is none."""
    status = require_job(current, job_id)
    found = list_between(current.engine, status.id, ordinal, ordinal)
    provenance = find_provenance(current.engine, status.id, ordinal)
    if not found or provenance is None:
        raise UsageError(f"job {status.id} has {status.total:,} images, and no verdict {ordinal} yet")
    return report_verdict(found[0], provenance)

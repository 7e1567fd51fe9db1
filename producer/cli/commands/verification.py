"""`starlight verify`: checks that the verdicts of a job have not changed since it ended."""

import json
import sys
from typing import Annotated

import typer

from producer.cli.commands.verdicts import parse_digest
from producer.cli.errors import UsageError
from producer.cli.installation import open_installation, parse_id
from producer.cli.output import JsonLinesOption
from producer.cli.remote import Key, Server, open_remote
from starlight_vocabulary.answers import Verification
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.records import to_json
from storage.seals import PIECE
from storage.verification import list_sealed_jobs, verify_job

NOT_INTACT = 1


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(verify)


def verify(
    job_id: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    every: Annotated[bool, typer.Option("--all", help="Verify every sealed job.")] = False,
    root: Annotated[
        str | None, typer.Option(metavar="HEX", help="The root of the seal, as printed earlier and stored elsewhere.")
    ] = None,
    as_json: JsonLinesOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Compare the verdicts of a job with its seal, the digest that a dispatcher stored when the job had ended.

    The exit code is 1 if a verdict was changed, added or deleted (each is listed), or the seal differs.
    """
    kept = parse_digest(root)
    if (job_id is None) != every or (every and (kept or server)):
        raise UsageError("name one job id, or use --all; --root and --server need a job id")
    if server:
        with open_remote(server, key) as api:
            is_intact = show_verification(api.verify(str(parse_id(job_id or ""))), kept, as_json=as_json)
    else:
        with open_installation() as current:
            jobs = list_sealed_jobs(current.engine) if job_id is None else [parse_id(job_id)]
            intact = [show_verification(verify_job(current.engine, each), kept, as_json=as_json) for each in jobs]
            is_intact = all(intact)
        if not intact:
            print("no job has a seal", file=sys.stderr)
    if not is_intact:
        raise typer.Exit(NOT_INTACT)


def show_verification(verified: Verification, kept: str | None, *, as_json: bool) -> bool:
    """Print the result; return whether nothing has changed, also by the stored root if there is one."""
    is_same = kept in (None, verified.root)
    if as_json:
        print(json.dumps(to_json(verified) | ({} if kept is None else {"root_is_as_kept": is_same})))
        return verified.intact and is_same
    state = "intact" if verified.intact else f"{format_count(verified.differences, 'difference')}"
    print(f"{verified.job_id}: {state}; {format_count(verified.verdicts, 'verdict')} sealed {verified.sealed_at}")
    print(f"  root {verified.root}")
    for kind in ("changed", "added", "deleted"):
        for ordinal in getattr(verified, kind):
            print(f"  {kind}: verdict {ordinal}")
    for first in verified.unclear:
        print(f"  changed: some of the verdicts {first} to {first + PIECE - 1}, and the data that would say which")
    if not verified.seal_intact:
        print("  the seal itself was changed: its parts do not match its root")
    if not is_same:
        print(f"  the seal was replaced: the stored root is {kept}")
    return verified.intact and is_same

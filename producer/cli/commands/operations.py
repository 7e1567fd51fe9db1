"""`starlight pause`, `resume`, `drain`, `requeue`, `priority` and `operations`, for operators."""

import json
import shlex
import sys
from typing import Annotated

import typer

from producer.cli.errors import UsageError
from producer.cli.installation import Installation, open_installation, parse_id
from producer.cli.output import JsonOption
from producer.cli.remote import Key, Server, open_remote
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.operations import Action, Operation, PauseReport, PauseSubject, RequeueRequest
from starlight_vocabulary.records import to_json
from starlight_vocabulary.words import Priority
from storage.draining import set_draining
from storage.operations import list_operations
from storage.pauses import list_pauses, pause_chunks, resume_chunks
from storage.requeueing import change_priority, requeue_chunks
from storage.submitters import is_known_submitter
from storage.workers import list_live_workers

PausedPriority = Annotated[Priority | None, typer.Option("--priority", help="Jobs of this priority.")]
PausedSubmitter = Annotated[str | None, typer.Option("--submitter", metavar="NAME", help="Jobs of this submitter.")]
OneJob = Annotated[str | None, typer.Option("--job", metavar="ID", help="This job.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (pause, resume, drain, requeue, priority, operations):
        app.command()(command)


def pause(
    priority: PausedPriority = None,
    submitter: PausedSubmitter = None,
    job: OneJob = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """Pause chunks until `resume` with the same options; running ones are finished. Without options: all chunks."""
    subject = _read_subject(priority, submitter, job)
    if server:
        with open_remote(server, key) as api:
            made = api.client.pause(subject)
    else:
        with open_installation() as current:
            made = pause_chunks(current.engine, subject, current.settings.submitter)
            # Not refused: a submitter may be paused before the first job.
            if submitter is not None and not is_known_submitter(current.engine, submitter):
                print(f"no job or API key has the submitter {escape(submitter)} yet", file=sys.stderr)
    print(f"paused: {escape(str(made.subject))}; running chunks are finished; `{write_resume(subject)}` ends the pause")


def resume(
    priority: PausedPriority = None,
    submitter: PausedSubmitter = None,
    job: OneJob = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """End the pause with the same options."""
    subject = _read_subject(priority, submitter, job)
    if server:
        with open_remote(server, key) as api:
            ids = [each.id for each in api.client.pauses() if each.subject == subject]
            if not ids:
                raise UsageError(f"{subject} is not paused")
            for each in ids:
                api.client.resume(each)
    else:
        with open_installation() as current:
            resume_chunks(current.engine, subject, current.settings.submitter)
    print(f"resumed: {escape(str(subject))}")


def _read_subject(priority: Priority | None, submitter: str | None, job: str | None) -> PauseSubject:
    if submitter == "":
        raise UsageError("--submitter needs a name")
    return PauseSubject(priority=priority, submitter=submitter, job_id=None if job is None else parse_id(job))


def write_resume(subject: PauseSubject) -> str:
    """Return the command that ends the pause of this subject, as typed in a shell."""
    named = {"--priority": subject.priority, "--submitter": subject.submitter, "--job": subject.job_id}
    options = [word for option, value in named.items() if value is not None for word in (option, str(value))]
    return escape(shlex.join(["starlight", "resume", *options]))


def drain(
    worker: Annotated[str | None, typer.Argument(metavar="[WORKER]", help="Name of the worker, device@host.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All live workers.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let them claim chunks again.")] = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Drain a worker: it claims no more chunks, finishes those that it has, and stays up."""
    if (worker is None) != every:
        raise UsageError("name one worker, or --all; `starlight operations` lists them")
    if server:
        with open_remote(server, key) as api:
            changed = api.client.undrain(worker) if undo else api.client.drain(worker)
    else:
        with open_installation() as current:
            settings = current.settings
            changed = set_draining(current.engine, worker, settings.lease_s, settings.submitter, draining=not undo)
    print(f"{'claiming again' if undo else 'draining'}: {escape(', '.join(changed)) or 'no change'}")


def requeue(
    job: OneJob = None,
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="NAME", help="Chunks claimed by this worker.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dispatched and running chunks.")] = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Make dispatched and running chunks pending again; no image is lost, and no chunk counts as lost."""
    if (job is not None) + (worker is not None) + every != 1:
        raise UsageError("name --job ID, --worker NAME or --all")
    wanted = RequeueRequest(job_id=None if job is None else parse_id(job), worker=worker)
    if server:
        with open_remote(server, key) as api:
            chunks = api.client.requeue(wanted)
    else:
        with open_installation() as current:
            chunks = requeue_chunks(current.engine, wanted, current.settings.submitter)
    print(f"requeued: {format_count(chunks, 'chunk')}")


def priority(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a job.")],
    wanted: Annotated[Priority, typer.Argument(metavar="PRIORITY", help="interactive or bulk")],
    server: Server = None,
    key: Key = None,
) -> None:
    """Change the priority of an open job."""
    wanted_id = parse_id(job_id)
    if server:
        with open_remote(server, key) as api:
            api.client.change_priority(wanted_id, wanted)
    else:
        with open_installation() as current:
            change_priority(current.engine, wanted_id, wanted, current.settings.submitter)
    print(f"job {wanted_id} is {wanted} from now on")


def operations(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number, newest first.")] = 20,
    as_json: JsonOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Show pauses, draining workers, and past operations with time and operator."""
    if server:
        with open_remote(server, key) as api:
            done, paused = api.client.operations(limit), api.client.pauses()
            workers = {each.name: each.draining for each in api.client.statistics().workers}
    else:
        with open_installation() as current:
            done, paused, workers = _look(current, limit)
    if as_json:
        print(
            json.dumps({
                "pauses": [to_json(each) for each in paused],
                "workers": workers,
                "operations": [to_json(each) for each in done],
            })
        )  # fmt: skip
        return
    for pause in paused:
        print(escape(f"paused    {pause.subject}, by {pause.paused_by} since {pause.paused_at.astimezone():%F %T}"))
    for name, draining in workers.items():
        print(escape(f"{'draining' if draining else 'claiming'}  {name}"))
    width = max(map(len, Action))
    print(f"{'WHEN':<19}  {'WHO':<16}  {'ACTION':<{width}}  {'CHUNKS':>7}  SUBJECT")
    for each in done:
        when = f"{each.done_at.astimezone():%F %T}"
        print(escape(f"{when}  {each.done_by:<16}  {each.action:<{width}}  {each.chunks:>7,}  {each.subject}"))


def _look(current: Installation, limit: int) -> tuple[list[Operation], list[PauseReport], dict[str, bool]]:
    live = list_live_workers(current.engine, current.settings.lease_s)
    return (
        list_operations(current.engine, limit),
        list_pauses(current.engine),
        {each.name: each.draining for each in live},
    )

"""`starlight rescan` and `compare`: scanning images of another model again, and comparing two models."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Annotated

import typer

from producer.cli.commands.verdicts import (
    MEANT,
    JobOption,
    MethodOption,
    OutcomeOption,
    PartOption,
    Sha256Option,
    SinceOption,
    UntilOption,
    WordsOption,
    build_filter,
    parse_time,
    require_filtered,
)
from producer.cli.installation import open_installation
from producer.cli.output import JsonOption
from producer.cli.remote import Key, Server, open_remote
from producer.cli.submitting import Name
from starlight_vocabulary.comparison import Comparison
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.records import to_json
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.words import Method, Outcome
from storage.comparisons import MOST_SAMPLED, compare_models
from storage.models import find_models
from storage.rescans import Rescanning
from storage.submitters import check_submitter


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (rescan, compare):
        app.command()(command)


def rescan(
    model: Annotated[str, typer.Option(help=f"The earlier model: {MEANT}")],
    job: JobOption = None,
    outcome: OutcomeOption = None,
    method: MethodOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    sha256: Sha256Option = None,
    words: WordsOption = None,
    part: PartOption = None,
    submitter: Annotated[str | None, typer.Option(help="Only of this submitter's jobs.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also images that the same command already submitted.")
    ] = False,
    name: Name = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """Scan images of another model again with the model in use, and print the ids of the new jobs.

    The filters are those of `verdicts`. Each job with such verdicts gets a new bulk job of the same submitter, which
    links to it and reuses no verdicts. After an interruption, run the same command again to continue.
    """
    wanted = build_filter(
        job=job, outcome=outcome, method=method, since=since, until=until, sha256=sha256, words=words, part=part,
        submitter=submitter,
    )  # fmt: skip
    if server:
        with open_remote(server, key) as api:
            show_rescans(api.rescan(model, wanted, again=again, name=name))
        return
    with open_installation() as current:
        require_filtered(current, wanted)
        rescanning = Rescanning(
            current.engine,
            find_models(current.engine, model),
            wanted,
            idempotency_key=str(uuid.uuid4()) if again else None,
            name=name,
            chunk_size=current.settings.chunk_size,
        )
        show_rescans(rescanning.submit_all())


def show_rescans(rescans: Iterator[Rescan]) -> None:
    """Print the ids of new jobs as they are created, and a summary on standard error."""
    counts: Counter[str] = Counter()
    for made in rescans:
        counts.update(gone=made.gone, done=made.was_done)
        if made.job_id is not None and not made.was_done:
            counts.update(images=made.images, jobs=1)
            print(made.job_id, flush=True)
    summary = f"{format_count(counts['images'], 'image')} in {format_count(counts['jobs'], 'job')} are scanned again"
    if counts["gone"]:
        summary += f"; no longer stored: {format_count(counts['gone'], 'image')}"
    if counts["done"]:
        summary += f"; already submitted before: {format_count(counts['done'], 'job')} (--again includes them)"
    print(summary, file=sys.stderr)


def compare(
    first: Annotated[str, typer.Argument(metavar="MODEL_A", help=MEANT)],
    second: Annotated[str, typer.Argument(metavar="MODEL_B", help="The other model.")],
    since: SinceOption = None,
    submitter: Annotated[str | None, typer.Option(help="Only on images of this submitter's jobs.")] = None,
    sample: Annotated[int, typer.Option(min=0, max=MOST_SAMPLED, help="How many differing files to show.")] = 20,
    as_json: JsonOption = False,
    server: Server = None,
    key: Key = None,
) -> None:
    """Compare the newest verdicts of two models on the same files; show counts and a sample of the differences."""
    time = parse_time(since)
    if server:
        with open_remote(server, key) as api:
            compared = api.client.compare(first, second, since=time, submitter=submitter, sample=sample)
    else:
        with open_installation() as current:
            models = [find_models(current.engine, each) for each in (first, second)]
            if submitter is not None:
                check_submitter(current.engine, submitter)
            compared = compare_models(current.engine, *models, submitter=submitter, since=time, sample=sample)
    if as_json:
        print(json.dumps(to_json(compared)))
    else:
        show_comparison(compared, first, second)


def show_comparison(compared: Comparison, first: str, second: str) -> None:
    """Print a comparison for people."""
    print(f"{format_count(compared.files, 'file')} scored by both, {compared.differing:,} differently")
    print(f"{'FILES':>12}  {first:<24}  {second:<24}")
    for each in compared.counts:
        says, other = say(each.outcome, each.stego_type), say(each.other_outcome, each.other_stego_type)
        print(f"{each.files:>12,}  {says:<24}  {other:<24}{'' if each.agrees else '  differ'}")
    for file in compared.sample:
        says = say(file.outcome, file.stego_type, file.stego_probability)
        other = say(file.other_outcome, file.other_stego_type, file.other_stego_probability)
        print(escape(f"{file.sha256}  {says:<24}  {other:<24}  {file.uri}"))


def say(outcome: Outcome, method: Method | None, probability: float | None = None) -> str:
    """Return a model's result on a file as text."""
    return " ".join([outcome, method or "", "" if probability is None else f"{probability:.4f}"])

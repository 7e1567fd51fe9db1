"""`starlight verdicts`: prints stored verdicts of all jobs by filters."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Annotated, TypeVar

import typer

from producer.cli.errors import UsageError
from producer.cli.installation import Installation, open_installation, parse_id, require_job
from producer.cli.output import Format, FormatOption, open_writer
from producer.cli.remote import Key, Server, open_remote
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Method, Outcome, Word
from storage.inscription_search import check_inscription
from storage.message_search import check_part, check_words
from storage.models import check_model
from storage.submitters import check_submitter
from storage.verdict_search import VerdictFilter, check_period, find_verdicts
from storage.verdicts import PAGE

AnyWord = TypeVar("AnyWord", bound=Word)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(verdicts)


JobOption = Annotated[str | None, typer.Option(metavar="ID", help="Only of this job, in the order of submission.")]
OutcomeOption = Annotated[str | None, typer.Option(help=f"One of {', '.join(Outcome)}.")]
MethodOption = Annotated[str | None, typer.Option(help=f"One of {', '.join(Method)}.")]
SinceOption = Annotated[str | None, typer.Option(metavar="TIME", help="From this time on, in ISO 8601.")]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time, in ISO 8601.")]
Sha256Option = Annotated[str | None, typer.Option(metavar="HEX", help="Only on the file with this SHA-256.")]
WordsOption = Annotated[
    str | None, typer.Option(metavar="WORDS", help="The hidden message contains all these words, in any order.")
]
PartOption = Annotated[str | None, typer.Option(metavar="TEXT", help="The hidden message contains this text.")]

InscriptionOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only on this inscription, TXID:iN, or all of a transaction, TXID."),
]

MEANT = "NAME-VERSION, VERSION, or a prefix of its SHA-256, as in `starlight model list`."
ModelOption = Annotated[str | None, typer.Option(metavar="MODEL", help=f"Only of this model: {MEANT}")]


def verdicts(
    job: JobOption = None,
    outcome: OutcomeOption = None,
    method: MethodOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    sha256: Sha256Option = None,
    words: WordsOption = None,
    part: PartOption = None,
    inscription: InscriptionOption = None,
    model: ModelOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number.")] = None,
    format: FormatOption = Format.TABLE,  # noqa: A002
    server: Server = None,
    key: Key = None,
) -> None:
    """Print stored verdicts, newest first. Times without a time zone are local."""
    wanted = build_filter(
        job=job, outcome=outcome, method=method, since=since, until=until, sha256=sha256, words=words, part=part,
        inscription=inscription, model=model,
    )  # fmt: skip
    if server:
        with open_remote(server, key) as api:
            print_verdicts(api.verdicts(wanted, limit), format)
        return
    with open_installation() as current:
        require_filtered(current, wanted)
        print_verdicts(find_verdicts(current.engine, wanted, limit), format)


def build_filter(
    *,
    job: str | None,
    outcome: str | None,
    method: str | None,
    since: str | None,
    until: str | None,
    sha256: str | None,
    words: str | None,
    part: str | None,
    inscription: str | None = None,
    submitter: str | None = None,
    model: str | None = None,
) -> VerdictFilter:
    """Return the filter for these options; raises UsageError."""
    begin, end = parse_period(since, until)
    return VerdictFilter(
        job_id=parse_id(job) if job is not None else None,
        submitter=submitter,
        outcome=parse_word(Outcome, "outcome", outcome),
        method=parse_word(Method, "method", method),
        since=begin,
        until=end,
        sha256=parse_digest(sha256),
        words=parse_sought(check_words, words),
        part=parse_sought(check_part, part),
        inscription=parse_sought(check_inscription, inscription),
        model=model,
    )


def require_filtered(current: Installation, wanted: VerdictFilter) -> None:
    """Raise an error that says so if the filter names a job, a model or a submitter that does not exist."""
    if wanted.job_id is not None:
        require_job(current, str(wanted.job_id))
    if wanted.model is not None:
        check_model(current.engine, wanted.model)
    if wanted.submitter is not None:
        check_submitter(current.engine, wanted.submitter)


def print_verdicts(found: Iterator[Verdict], format: Format) -> None:  # noqa: A002
    """Print the verdicts."""
    pages = cut_pages(found)
    first = next(pages, None)
    # Opened after the first request: some formats begin at once, and a refused search must print nothing.
    output = open_writer(format)
    for page in chain([first] if first else [], pages):
        output.write(page)
    output.close()


def cut_pages(found: Iterator[Verdict]) -> Iterator[list[Verdict]]:
    """Yield the verdicts in lists of up to `PAGE`."""
    while page := list(islice(found, PAGE)):
        yield page


def parse_word(kind: type[AnyWord], what: str, text: str | None) -> AnyWord | None:
    """Return the word of this kind, or None for None; raises UsageError for an unknown one, also an empty one."""
    return None if text is None else read_word(kind, what, text)


def read_word(kind: type[AnyWord], what: str, text: str) -> AnyWord:
    """Return the word of this kind; raises UsageError for an unknown one."""
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a valid {what}: use one of {', '.join(kind)}") from None


def parse_time(text: str | None) -> datetime | None:
    """Return the time with its time zone, by default the local one; raises UsageError."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a time: write it like 2026-05-31 or 2026-05-31T12:00:00+00:00") from None
    try:
        return time.astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is outside the years 1 to 9999 here: use a time between") from None


def parse_period(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Return both times as `parse_time` does; raises UsageError, also if the first is later than the second."""
    begin, end = parse_time(since), parse_time(until)
    try:
        check_period(begin, end)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return begin, end


def parse_digest(text: str | None) -> str | None:
    """Return the SHA-256 in lower case; raises UsageError."""
    if text is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise UsageError(f"{text!r} is not a SHA-256: it must have 64 hexadecimal digits")
    return text.lower() if text else None


def parse_sought(check: Callable[[str], str], text: str | None) -> str | None:
    """Return a valid search text; raises UsageError if it is invalid."""
    try:
        return None if text is None else check(text)
    except ValueError as error:
        raise UsageError(f"{text!r}: {error}") from None

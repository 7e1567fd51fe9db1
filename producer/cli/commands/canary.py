"""`starlight canary`: scans generated images with known content, regularly or once, and checks the verdicts."""

import dataclasses
import io
import json
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from producer.cli.errors import UsageError
from producer.cli.folders import check_is_folder
from producer.cli.installation import Installation, open_installation, warn_without_workers
from producer.cli.output import OpenEndedConsole
from producer.cli.remote import Key, Server, open_remote
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Priority
from storage.canaries import CanaryAnswer, CanaryResult, begin_round, find_worst

NOT_RIGHT = 1
# Polling interval, for the end of another round or of our own job.
LOOK_EVERY_S = 0.5
STYLES = {CanaryResult.RIGHT: "green", CanaryResult.UNREAD: "yellow"}


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(canary)


def canary(
    once: Annotated[bool, typer.Option("--once", help="Run one round, print the results, and exit.")] = False,
    patience: Annotated[float, typer.Option(min=1, max=240, help="With --once: timeout in seconds.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: print one JSON object.")] = False,
    draw: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Only write the images of --seed to this folder.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Draw the images of this round again.")] = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """Scan generated images with known content every STARLIGHT_CANARY_INTERVAL, and check their verdicts.

    With --once, the exit code is 1 if a verdict is wrong or missing. With --server, the images are an ordinary job of
    the key, which is kept and counted.
    """
    if draw is not None:
        if seed is None:
            raise UsageError("--draw needs --seed, which the log names for each round")
        draw_into(draw, seed)
        return
    if not once and (as_json or seed is not None):
        raise UsageError("--json and --seed need --once")
    if server and not once:
        raise UsageError("--server needs --once: the service itself runs only with direct access to the servers")
    # Imported here: loading numpy and Pillow takes longer than most commands run.
    from producer.canaries.service import CanaryService, draw_seed

    if server:
        seed = draw_seed() if seed is None else seed
        answers = run_through_api(server, key, seed, patience)
    else:
        with open_installation(program="canary") as current:
            if not once:
                CanaryService(current.engine, current.settings).run()
            warn_without_workers(current)
            seed = draw_seed() if seed is None else seed
            answers = run_once(current, seed, patience)
    if as_json:
        print(json.dumps({"seed": seed, "answers": [dataclasses.asdict(each) for each in answers]}))
    else:
        print_answers(seed, answers)
    if find_worst(answers) is not CanaryResult.RIGHT:
        raise typer.Exit(NOT_RIGHT)


def draw_into(folder: Path, seed: int) -> None:
    """Write the images of a seed to a folder, which is created if it does not exist."""
    from producer.canaries.drawing import draw_canaries

    check_is_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for each in draw_canaries(seed):
        (folder / each.name).write_bytes(each.data)
        print(f"{folder / each.name}: {'nothing hidden' if each.message is None else repr(each.message)}")


def run_once(current: Installation, seed: int, patience_s: float) -> Sequence[CanaryAnswer]:
    """Run a round as soon as no other one runs; raises UsageError if that takes too long."""
    from producer.canaries.rounds import PATIENCE_S, run_round

    deadline = time.monotonic() + 2 * PATIENCE_S
    while (round_id := begin_round(current.engine, seed, 0.0)) is None:
        if time.monotonic() > deadline:
            raise UsageError("another round of canaries runs, or has crashed: try again in some minutes")
        time.sleep(LOOK_EVERY_S)
    return run_round(current.engine, current.settings, round_id, seed, patience_s)


def run_through_api(server: str, key: str | None, seed: int, patience_s: float) -> Sequence[CanaryAnswer]:
    """Upload the images of a seed to the API as one job; images without a verdict in time count as missing.

    Raises UsageError if the API refuses, or does not answer.
    """
    from producer.canaries.drawing import draw_canaries
    from producer.canaries.rounds import make_answer

    canaries = draw_canaries(seed)
    with open_remote(server, key) as api, tempfile.TemporaryFile() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for each in canaries:
                member = tarfile.TarInfo(each.name)
                member.size = len(each.data)
                archive.addfile(member, io.BytesIO(each.data))
        file.seek(0)
        job = api.client.upload_archive(file, JobOptions(name="canaries", priority=Priority.INTERACTIVE))
        deadline = time.monotonic() + patience_s
        while not (ended := api.job(str(job.id)).ended) and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)
        if not ended:
            api.cancel(str(job.id))
        verdicts = {verdict.ordinal: verdict for verdict in api.client.verdicts(job.id)}
    return [make_answer(each, verdicts.get(ordinal), job.created_at) for ordinal, each in enumerate(canaries)]


def print_answers(seed: int, answers: Sequence[CanaryAnswer]) -> None:
    """Print a row for each image, and a summary."""
    console = OpenEndedConsole(highlight=False, soft_wrap=True)
    console.print(arrange("RESULT", "HIDDEN", "OUTCOME", "METHOD", "P(STEGO)", "SECONDS", "IMAGE"), style="bold")
    for each in answers:
        probability = "" if each.stego_probability is None else f"{each.stego_probability:.4f}"
        seconds = "" if each.seconds is None else f"{each.seconds:.2f}"
        said = (
            each.outcome or "",
            each.stego_type or "",
            probability,
            seconds,
            f"{each.name}  {each.error_code or ''}",
        )
        line = arrange(each.result, each.hidden or "nothing", *said)
        console.print(Text(escape(line), style=STYLES.get(each.result, "bold red")))
    right = sum(each.result is CanaryResult.RIGHT for each in answers)
    console.print(f"{right} of {len(answers)} are right; drawn from the seed {seed}")


def arrange(*cells: str) -> str:
    """Return the cells of a row, aligned with those of other rows."""
    *first, last = cells
    return f"{''.join(f'{cell:<10}' for cell in first)}{last}".rstrip()

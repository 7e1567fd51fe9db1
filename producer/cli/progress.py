"""A progress bar with rate and remaining time, on terminals only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from starlight_vocabulary.job import Job


class RateColumn(ProgressColumn):
    """Images a minute, measured over the last seconds."""

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text while it is unknown."""
        return Text(f"{60 * task.speed:,.0f} images/min" if task.speed else "")


class JobProgress:
    """The bar of one job."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=total, found="")

    def show(self, job: Job) -> None:
        """Show the progress of the job."""
        found = f"{job.stego} stego, {job.error} errors"
        doing = "scanning" if job.finished else "starting"
        self._progress.update(self._task, description=doing, completed=job.finished, total=job.total, found=found)


@contextmanager
def show_progress(total: int) -> Iterator[JobProgress]:
    """Show a bar during the block, on standard output or else standard error, whichever is a terminal.

    Output of the block to `sys.stdout` appears above the bar.
    """
    on_stdout = sys.stdout.isatty()
    console = Console(stderr=not on_stdout)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[found]}"),
    )  # fmt: skip
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=on_stdout
    ) as progress:
        yield JobProgress(progress, total)

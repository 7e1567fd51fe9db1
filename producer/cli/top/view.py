"""The view of `starlight top`, rendered from the last snapshot at the size of the terminal."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from producer.cli.output import shorten
from producer.cli.top.access import Snapshot
from producer.sources.expansion import format_reference
from starlight_vocabulary.answers import LiveWorker
from starlight_vocabulary.counts import format_count
from starlight_vocabulary.escaping import escape
from starlight_vocabulary.job import Job
from starlight_vocabulary.operations import PauseReport, PauseSubject

BARS = "▁▂▃▄▅▆▇█"
# Throughput samples that are kept: more than the width of a terminal.
KEPT = 400
PROGRESS_WIDTH = 20
# Columns from which there is room for the progress as a bar; narrower terminals show only its percentage.
WIDE = 100
ERRORS = 5
KEYS = "↑↓ choose  Tab panel  s sort  p pause  P pause all  d drain  c cancel  q quit"


class Order(StrEnum):
    """How jobs are sorted: newest first, most images left first, furthest first, or by submitter."""

    NEWEST = "newest"
    LEFT = "left"
    PROGRESS = "progress"
    SUBMITTER = "submitter"

    def sort(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs in this order."""
        if self is Order.LEFT:
            return sorted(jobs, key=lambda job: job.finished - job.total)
        if self is Order.PROGRESS:
            return sorted(jobs, key=lambda job: -job.finished / job.total)
        return sorted(jobs, key=lambda job: job.submitter) if self is Order.SUBMITTER else list(jobs)

    @property
    def following(self) -> "Order":
        """The next order, which the key `s` selects."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


@dataclass(slots=True)
class View:
    """The last snapshot and the selection: the job, or the worker if `in_workers`, at `place` in its list."""

    snapshot: Snapshot | None = None
    rates: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    order: Order = Order.NEWEST
    in_workers: bool = False
    place: int = 0
    message: str = ""

    def see(self, snapshot: Snapshot) -> None:
        """Show this snapshot from now on."""
        self.snapshot = snapshot
        self.rates.append(snapshot.statistics.images_per_minute)
        self.move(0)

    @property
    def jobs(self) -> list[Job]:
        """The open jobs, in the chosen order."""
        return self.order.sort(self.snapshot.jobs) if self.snapshot else []

    @property
    def workers(self) -> list[LiveWorker]:
        """The live workers, by name."""
        return self.snapshot.statistics.workers if self.snapshot else []

    @property
    def chosen_job(self) -> Job | None:
        """The job that keys act on."""
        return self.jobs[self.place] if not self.in_workers and self.place < len(self.jobs) else None

    @property
    def chosen_worker(self) -> LiveWorker | None:
        """The worker that keys act on."""
        return self.workers[self.place] if self.in_workers and self.place < len(self.workers) else None

    def move(self, by: int) -> None:
        """Move the selection within the list."""
        listed = len(self.workers) if self.in_workers else len(self.jobs)
        self.place = max(0, min(self.place + by, listed - 1))

    def turn(self) -> None:
        """Switch the selection between jobs and workers."""
        self.in_workers, self.place = not self.in_workers, 0

    def find_pause(self, subject: PauseSubject) -> PauseReport | None:
        """Return the pause of this subject, or None if it is not paused."""
        pauses = self.snapshot.pauses if self.snapshot else None
        return next((pause for pause in pauses or () if pause.subject == subject), None)


def render(view: View, width: int, height: int) -> RenderableType:
    """Return the view for a terminal of this size."""
    snapshot = view.snapshot
    if snapshot is None:
        return Text(escape(view.message) or "loading …")
    errors = min(len(snapshot.errors), ERRORS)
    workers = max(1, len(snapshot.statistics.workers))
    # Minus the borders and headers of four panels, and the line of keys.
    room = max(1, height - 5 - workers - 3 - errors - 2 - 3 - 2)
    return Group(
        _render_throughput(view, snapshot, width),
        _render_jobs(view, snapshot, room, wide=width >= WIDE),
        _render_workers(view),
        _render_errors(snapshot, width),
        Text(escape(view.message), style="bold yellow") if view.message else Text(KEYS, style="dim"),
    )


def _render_throughput(view: View, snapshot: Snapshot, width: int) -> RenderableType:
    figures = snapshot.statistics
    rate, target = figures.images_per_minute, figures.target_images_per_minute
    waits = sum(figures.waiting.values()) > 0
    reached = rate >= target
    style = "bold green" if reached else "bold red" if waits else "bold"
    head = Text.assemble((f"{rate:,}", style), f" images/min, target {target:,}  ")
    paused = ", ".join(str(pause.subject) for pause in snapshot.pauses or ())
    # Before the graph, which may be cut off.
    if paused:
        head.append(escape(f"paused: {paused}  "), "bold yellow")
    head.append_text(draw_line(list(view.rates), target, max(10, width - 8 - head.cell_len)))
    waiting = "  ".join(f"{count:,} {state}" for state, count in figures.waiting.items())
    outcomes = "  ".join(f"{count:,} {outcome}" for outcome, count in figures.outcomes.items())
    lines = (head, Text(f"{waiting}  oldest {format_age(figures.oldest_waiting_s)}"), Text(outcomes))
    return Panel(Group(*map(_cut, lines)), title="throughput", title_align="left", padding=(0, 1))


def draw_line(rates: Sequence[int], target: int, width: int) -> Text:
    """Return the newest rates as bars, green if they reach the target, which is at three quarters of the height."""
    shown = list(rates)[-width:]
    top = max(target / 0.75, *shown, 1)
    line = Text()
    for rate in shown:
        style = "green" if rate >= target else "yellow" if rate else "dim"
        line.append(BARS[min(len(BARS) - 1, int(rate / top * len(BARS)))], style)
    return line


def format_age(seconds: float) -> str:
    """Return a duration in one unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _render_jobs(view: View, snapshot: Snapshot, room: int, *, wide: bool) -> RenderableType:
    jobs = view.jobs
    table = _make_table()
    _add_columns(table, "JOB")
    _add_cut_column(table, "SUBMITTER", 2)
    _add_columns(table, "PRIORITY", *([""] if wide else []))
    _add_columns(table, "DONE", "IMAGES", "STEGO", "ERRORS", justify="right")
    _add_cut_column(table, "NAME", 3)
    first = max(0, min(view.place - room // 2, len(jobs) - room)) if not view.in_workers else 0
    for place, job in list(enumerate(jobs))[first : first + room]:
        paused = _is_paused(snapshot, job)
        table.add_row(
            # The end of an id, since jobs of the same second share the start.
            str(job.id)[-12:], Text(escape(job.submitter)), "paused" if paused else job.priority,
            *([_draw_progress(job)] if wide else []), f"{100 * job.finished / job.total:.0f} %", f"{job.total:,}",
            f"{job.stego:,}", f"{job.error:,}", Text(escape(job.name or "")),
            style=_style(view, chosen=place == view.place and not view.in_workers, dimmed=paused),
        )  # fmt: skip
    title = f"{format_count(len(jobs), 'open job')}, by {view.order}"
    return Panel(table, title=title, title_align="left", padding=(0, 1))


def _is_paused(snapshot: Snapshot, job: Job) -> bool:
    return any(
        pause.priority in (None, job.priority)
        and pause.submitter in (None, job.submitter)
        and pause.job_id in (None, job.id)
        for pause in snapshot.pauses or ()
    )


def _draw_progress(job: Job) -> Text:
    done = int(PROGRESS_WIDTH * job.finished / job.total)
    return Text.assemble(("━" * done, "green"), ("━" * (PROGRESS_WIDTH - done), "dim"))


def _render_workers(view: View) -> RenderableType:
    table = _make_table()
    _add_columns(table, "WORKER", "DEVICE", "STATE")
    _add_cut_column(table, "MODEL", 1)
    for place, worker in enumerate(view.workers):
        table.add_row(
            Text(escape(worker.name)), worker.device, "draining" if worker.draining else "claiming",
            Text(escape(f"{worker.model} {worker.model_sha256[:12]}")),
            style=_style(view, chosen=place == view.place and view.in_workers, dimmed=worker.draining),
        )  # fmt: skip
    if not view.workers:
        table.add_row(Text("no worker is alive", style="bold red"))
    return Panel(table, title="workers and devices", title_align="left", padding=(0, 1))


def _render_errors(snapshot: Snapshot, width: int) -> RenderableType:
    lines = [
        _cut(
            Text.assemble(
                (f"{verdict.scanned_at.astimezone():%T} ", "dim"),
                (f"{verdict.error_code} ", "yellow"),
                escape(f"{shorten(format_reference(verdict.uri), width // 2)}: {verdict.error_detail}"),
            )
        )
        for verdict in snapshot.errors[:ERRORS]
    ]
    return Panel(
        Group(*(lines or [Text("none", style="dim")])), title="last errors", title_align="left", padding=(0, 1)
    )


def _make_table() -> Table:
    return Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False)


def _add_columns(table: Table, *headings: str, justify: Literal["left", "right"] = "left") -> None:
    for heading in headings:
        table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis")


def _add_cut_column(table: Table, heading: str, share: int) -> None:
    """Add a column that is as wide as its share of what the other columns leave; longer text is cut."""
    table.add_column(heading, ratio=share, no_wrap=True, overflow="ellipsis")


def _style(view: View, *, chosen: bool, dimmed: bool) -> str:
    return "reverse" if chosen else "dim" if dimmed else ""


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text

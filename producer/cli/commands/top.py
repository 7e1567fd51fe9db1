"""`starlight top`: a live view of throughput, jobs, workers and errors, with keys to act."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.live import Live

from producer.cli.errors import UsageError
from producer.cli.installation import open_installation
from producer.cli.output import OpenEndedConsole
from producer.cli.remote import Key, Server, open_remote
from producer.cli.top.access import Access, ApiAccess, DirectAccess
from producer.cli.top.session import TopSession
from producer.cli.top.view import render

TICK_S = 0.1


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(top)


def top(
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two updates.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print the view once, and exit.")] = False,
    looks: Annotated[int, typer.Option(min=1, help="With --once: number of updates, for the throughput graph.")] = 1,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="With --once: draw the view to this file.")] = None,
    server: Server = None,
    key: Key = None,
) -> None:
    """Watch throughput, queues, jobs, workers and the last errors; keys sort, pause, drain and cancel.

    Without a terminal, or with --once, the view is printed once.
    """
    if svg is not None and not once:
        raise UsageError("--svg needs --once")
    with open_access(server, key) as access:
        session = TopSession(access)
        try:
            # The first update is not in the background, so that errors end the command.
            session.look_and_wait()
            if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
                print_once(session, looks, interval, svg)
            else:
                run_live(session, interval)
        finally:
            session.close()


@contextmanager
def open_access(server: str | None, key: str | None) -> Iterator[Access]:
    """Yield the API at this address, or the servers of this machine."""
    if server:
        # Lines on standard error would spoil the view, which shows failures itself.
        with open_remote(server, key, notes=False) as api:
            yield ApiAccess(api.client)
    else:
        with open_installation() as current:
            yield DirectAccess(current)


def print_once(session: TopSession, looks: int, interval: float, svg: Path | None) -> None:
    """Update so many times, and print or draw the view after the last one."""
    for _ in range(looks - 1):
        time.sleep(interval)
        session.look_and_wait()
    if svg is None:
        console = OpenEndedConsole()
        console.print(render(session.view, console.width, console.height))
        return
    with Path("/dev/null").open("w") as nowhere:
        drawn = Console(record=True, width=120, height=32, file=nowhere, force_terminal=True)
        drawn.print(render(session.view, drawn.width, drawn.height))
    svg.write_text(drawn.export_svg(title="starlight top"), encoding="utf-8")


def run_live(session: TopSession, interval: float) -> None:
    """Show the view, update it regularly and handle keys, until one of them quits."""
    # Imported here: not every system has `termios`.
    from producer.cli.top.keys import await_keys, read_single_keys

    console = Console()

    def draw() -> RenderableType:
        return render(session.view, console.width, console.height)

    with read_single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        look_at = time.monotonic() + interval
        live.update(draw(), refresh=True)
        while True:
            pressed = await_keys(TICK_S)
            if not all(map(session.press, pressed)):
                return
            if time.monotonic() >= look_at:
                session.look()
                look_at = time.monotonic() + interval
            if session.collect() or pressed:
                live.update(draw(), refresh=True)

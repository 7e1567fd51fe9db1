"""`starlight up`, `down` and `db`."""

import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from producer.cli.errors import UsageError
from producer.cli.installation import open_installation
from producer.cli.running import open_stack_lock, run_stack
from producer.cli.starting import Listener, StackStart
from producer.stack import (
    STOP_GRACE_S,
    WATCH_INTERVAL_S,
    make_api,
    make_canary,
    make_dispatcher,
    make_exporter,
    make_flower,
    make_workers,
)
from storage.analysts import USUAL_NAME, create_analyst
from storage.embedded.ports import find_usable_port
from storage.embedded.servers import EmbeddedServers
from storage.flower_password import find_password_file, read_flower_credentials
from storage.settings import Settings, read_settings
from worker.devices import Device, find_devices

log = logging.getLogger(__name__)
database = typer.Typer(help="The database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(up)
    app.command()(down)
    app.add_typer(database, name="db")


def up(
    device: Annotated[
        list[str] | None,
        typer.Option(help="cpu0, cpu1, gpu0, …; may be repeated. By default every GPU, or one CPU worker per core."),
    ] = None,
) -> None:
    """Run the whole stack in the foreground until Ctrl-C.

    The stack is servers, dispatcher, workers, API, exporter, Flower and canaries. If a default port is taken, a free
    one is used; a port that a setting names is refused if it is taken.
    """
    devices = [Device.parse(name) for name in device] if device else find_devices()
    configured = read_settings()
    refuse_second_stack(configured)
    api_port, flower_port, exporter_port = (
        choose_port(configured, name) for name in ("api_port", "flower_port", "exporter_port")
    )
    listeners = [
        Listener("API", configured.api_host, api_port, "/docs"),
        Listener(
            "Flower",
            configured.flower_host,
            flower_port,
            f"/{configured.flower_url_prefix}".rstrip("/"),
            describe_flower_login(configured),
        ),
        Listener("Metrics", configured.exporter_host, exporter_port, "/metrics"),
    ]
    programs = [make_dispatcher(), *make_workers(devices), make_api(), make_exporter(), make_flower()]
    if configured.canary_interval:
        programs.append(make_canary())
    with open_installation() as current, run_stack(current, programs, log_to=None) as runner:
        if not runner.running:
            # Another one has started meanwhile.
            refuse_second_stack(configured)
        start = StackStart(current, devices, listeners, [program.name for program in programs])
        try:
            while True:
                runner.watch()
                start.watch()
                time.sleep(WATCH_INTERVAL_S)
        except KeyboardInterrupt:
            log.info("stopping after running chunks are finished; press Ctrl-C again to stop at once")


def refuse_second_stack(configured: Settings) -> None:
    """Raise UsageError if a stack runs on this data folder."""
    lock = open_stack_lock(configured.data_dir)
    if not lock.acquire(wait=False):
        raise UsageError(
            f"a stack already runs on {configured.data_dir} (process {lock.read()}); `starlight down` stops it"
        )
    lock.release()


def choose_port(configured: Settings, name: str) -> int:
    """Return the port of this setting, or a free one if a default is taken, and pass it on to the programs.

    Raises UsageError if a port is taken that somebody has set.
    """
    wanted: int = getattr(configured, name)
    port, variable = find_usable_port(wanted), f"STARLIGHT_{name.upper()}"
    if port != wanted and name in configured.model_fields_set:
        raise UsageError(
            f"something listens on port {wanted} already: stop it, set {variable} to another port, or unset it"
        )
    os.environ[variable] = str(port)
    return port


def describe_flower_login(configured: Settings) -> str:
    """Return Flower's user name, and a generated password: on a terminal itself, else the file that contains it."""
    name, _, password = read_flower_credentials(configured).partition(":")
    file = find_password_file(configured)
    if file is None:
        return name
    return f"{name}, password {password}" if sys.stdout.isatty() else f"{name}, password in {file}"


def down() -> None:
    """Stop the stack and the embedded servers of this data folder."""
    configured = read_settings()
    if not configured.data_dir.exists():
        print("nothing is running here")
        return
    deadline = time.monotonic() + 2 * STOP_GRACE_S
    signalled = end_stack(configured.data_dir, deadline)
    if (configured.database_url and configured.redis_url) or not (configured.data_dir / "password").exists():
        print("nothing is running here" if signalled is None else "stopped")
        return
    servers = EmbeddedServers(configured)
    # The process of the stack releases its lock a little earlier than the servers.
    while (stopped := servers.stop()) is None and signalled and is_running(signalled) and time.monotonic() < deadline:
        time.sleep(WATCH_INTERVAL_S / 5)
    if stopped is None:
        stack = "no stack is running here" if signalled is None else "the stack is stopped"
        print(f"{stack}; other commands still use the embedded servers")
    else:
        print("stopped" if stopped or signalled else "nothing is running here")


def end_stack(data_dir: Path, deadline: float) -> int | None:
    """Signal the process of the stack to end, and wait for it; return its id, None if no stack ran.

    Raises UsageError if it still runs at the deadline, a time of the monotonic clock.
    """
    lock = open_stack_lock(data_dir)
    signalled = None
    while not lock.acquire(wait=False):
        holder = int(lock.read() or 0)
        if holder and holder != signalled:
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGTERM)
            signalled = holder
        if time.monotonic() > deadline:
            raise UsageError(f"process {holder} does not stop: kill it")
        time.sleep(WATCH_INTERVAL_S / 5)
    lock.release()
    return signalled


def is_running(process_id: int) -> bool:
    """Whether a process of this account with this id exists."""
    try:
        os.kill(process_id, 0)
    except OSError:
        return False
    return True


@database.command("upgrade")
def upgrade_database() -> None:
    """Upgrade the schema to the newest migration. On configured servers only this command does so."""
    with open_installation(upgrade=True):
        print("the schema is up to date")


@database.command("analyst")
def make_analyst(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of the role.")] = USUAL_NAME,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Replace the password of an existing role.")
    ] = False,
) -> None:
    """Create a database role that may only read the analysts' views, and print its connection URL."""
    with open_installation() as current:
        address = create_analyst(current.engine, name, new_password=new_password)
    print(address)
    print("store it now: the password in it cannot be shown again", file=sys.stderr)

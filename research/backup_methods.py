"""Ways to back up a PostgreSQL with its WAL, and to restore it to a point in time: for `scripts/backup_drill`.

Either by its own `pg_basebackup` and copies of the WAL, or by pgBackRest, which must know the server's version.
Both read the time to restore to from `postgresql.auto.conf`, as an operator would write it there.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import make_url

from storage.embedded.postgres import EmbeddedPostgres, find_binaries

# Read by every command of pgBackRest, also by those that a server starts.
PGBACKREST = """
[global]
repo1-path={folder}/repository
lock-path={folder}/lock
spool-path={folder}/spool
log-level-file=off
log-level-console=warn
"""


class BackupError(RuntimeError):
    """A program of a backup failed; the message has its output."""


class BackupMethod(Protocol):
    """How a drill archives, backs up and restores."""

    def write_archiving(self, server: EmbeddedPostgres) -> str:
        """Return the lines of configuration with which a stopped server archives its WAL."""

    def back_up(self, server: EmbeddedPostgres, url: str) -> None:
        """Back up the running server."""

    def restore_files(self, server: EmbeddedPostgres, moment: datetime) -> None:
        """Put the files of the backup in place, so that this server's next start replays the WAL up to this time."""

    def measure(self) -> tuple[int, int]:
        """Return the sizes of the backup and of the archived WAL, in bytes."""


class BaseBackup:
    """`pg_basebackup`, and an archive of WAL segments that `install` and `cp` write and read."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._backup = folder / "backup"
        self._archive = folder / "archive"
        self._archive.mkdir()
        # Both servers use it, possibly under other accounts.
        self._archive.chmod(0o777)

    def write_archiving(self, server: EmbeddedPostgres) -> str:
        """Copy each segment once."""
        archive = self._archive
        return f"archive_mode = on\narchive_command = 'test ! -f {archive}/%f && install -m 644 %p {archive}/%f'\n"

    def back_up(self, server: EmbeddedPostgres, url: str) -> None:
        """Copy the cluster without its WAL, which the archive has, and check the copy."""
        address = make_url(url).set(database="postgres").render_as_string(hide_password=False)
        command = [str(self._programs / "pg_basebackup"), "-d", address, "-D", str(self._backup), "-X", "none"]
        run_program([*command, "-c", "fast"])
        # The wheel's crashes.
        if self._programs != find_binaries():
            run_program([str(self._programs / "pg_verifybackup"), "--no-parse-wal", str(self._backup)])

    def restore_files(self, server: EmbeddedPostgres, moment: datetime) -> None:
        """Copy the backup, and name the archive."""
        shutil.copytree(self._backup, server.data)
        server.data.chmod(0o700)
        (server.data / "recovery.signal").touch()
        # The first server still archives under these names.
        write_settings(
            server,
            f"archive_mode = off\nrestore_command = 'cp {self._archive}/%f %p'\n"
            f"recovery_target_time = '{moment.isoformat()}'\nrecovery_target_action = promote\n",
        )

    def measure(self) -> tuple[int, int]:
        """Return the sizes of both folders."""
        return measure_folder(self._backup), measure_folder(self._archive)


class PgBackRest:
    """pgBackRest with a repository in a folder, compressed; the server and it run under one account."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "pgbackrest"
        for name in ("repository", "lock", "spool"):
            (self._folder / name).mkdir(parents=True)
        (self._folder / "pgbackrest.conf").write_text(PGBACKREST.format(folder=self._folder))

    def write_archiving(self, server: EmbeddedPostgres) -> str:
        """Hand each segment to pgBackRest."""
        if (account := find_account(server)) is not None:
            for path in (self._folder, *self._folder.rglob("*")):
                os.chown(path, account, account)
        return f"archive_mode = on\narchive_command = '{' '.join(self._command(server))} archive-push %p'\n"

    def back_up(self, server: EmbeddedPostgres, url: str) -> None:
        """Make the repository's entry of the cluster, and a full backup."""
        address = make_url(url)
        # Without a socket, libpq connects as the environment says.
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPASSWORD": address.password or ""}
        for words in (["stanza-create"], ["--type=full", "--start-fast", "backup"]):
            command = [*self._command(server), f"--pg1-port={address.port}", f"--pg1-user={address.username}", *words]
            run_program(command, find_account(server), environment)
        # A time in the second in which the backup ended counts as before it.
        time.sleep(1)

    def restore_files(self, server: EmbeddedPostgres, moment: datetime) -> None:
        """Have pgBackRest restore the files and write the settings of the recovery."""
        server.data.mkdir(mode=0o700)
        if (account := find_account(server)) is not None:
            os.chown(server.data, account, account)
        # A target needs an offset of hours and minutes.
        target = f"--target={moment.isoformat(sep=' ')}"
        run_program([*self._command(server), "--type=time", target, "--target-action=promote", "restore"], account)
        write_settings(server, "archive_mode = off\n")

    def measure(self) -> tuple[int, int]:
        """Return the sizes of the repository's two halves."""
        repository = self._folder / "repository"
        return measure_folder(repository / "backup"), measure_folder(repository / "archive")

    def _command(self, server: EmbeddedPostgres) -> list[str]:
        return [
            "pgbackrest", f"--config={self._folder / 'pgbackrest.conf'}", "--stanza=drill", f"--pg1-path={server.data}"
        ]  # fmt: skip


def find_account(server: EmbeddedPostgres) -> int | None:
    """Return the number of the account and group that a server of root's runs under, None for our own account."""
    return server.folder.stat().st_gid if os.geteuid() == 0 else None


def write_settings(server: EmbeddedPostgres, lines: str) -> None:
    """Add lines to the configuration of a stopped server."""
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write(lines)


def run_program(command: Sequence[str], account: int | None = None, environment: dict[str, str] | None = None) -> None:
    """Run a program, under this account if given; raises BackupError with its output if it fails."""
    done = subprocess.run(
        command, user=account, group=account, extra_groups=None if account is None else [], env=environment, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise BackupError(f"`{' '.join(command[-1:])}` of {command[0]} failed:\n{done.stdout}{done.stderr}")


def measure_folder(folder: Path) -> int:
    """Return the size of all files in a folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

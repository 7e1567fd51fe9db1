"""Other accounts of the machine: their files are not trusted, and they can neither read nor change ours."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from storage.embedded.account import NUMBERS, hand_over
from storage.embedded.postgres import EmbeddedPostgres, EmbeddedServerError
from storage.embedded.servers import EmbeddedServers
from storage.settings import Settings
from tests.kit.command import run_starlight
from tests.kit.users import NOBODY

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files to others, and starts servers for them")
# With these settings, a command would fail because no server answers.
BAIT = "STARLIGHT_DATABASE_URL=postgresql://evil@127.0.0.1:1/evil\nSTARLIGHT_REDIS_URL=redis://127.0.0.1:1\n"


def give_away(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


def open_to_group(path: Path) -> None:
    path.chmod(0o770)


@pytest.mark.parametrize("name", [".", "settings.env"])
@pytest.mark.parametrize("change", [pytest.param(give_away, marks=as_root), open_to_all, open_to_group])
def test_settings_that_others_may_have_written_are_not_believed(
    data_dir: Path, name: str, change: Callable[[Path], None]
) -> None:
    (data_dir / "settings.env").write_text(BAIT)
    change(data_dir / name)

    run = run_starlight("jobs", settings={"data_dir": data_dir})

    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert line.startswith("starlight: ")
    assert f"{data_dir / name}" in line
    assert line.endswith(", or set STARLIGHT_DATA_DIR to a folder of your own")
    assert "is not trusted: `ch" in line


@pytest.mark.parametrize("change", [pytest.param(give_away, marks=as_root), open_to_all])
def test_a_password_that_others_may_have_chosen_is_not_used(data_dir: Path, change: Callable[[Path], None]) -> None:
    (data_dir / "password").write_text("evil")
    change(data_dir / "password")

    run = run_starlight("jobs", settings={"data_dir": data_dir})

    assert run.returncode == 2
    (line,) = run.stderr.splitlines()
    assert f"{data_dir / 'password'}" in line
    assert not (data_dir / "postgres").exists()


@pytest.fixture
def postgres(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL that root has started."""
    postgres = EmbeddedPostgres(data_dir / "postgres", "secret")
    postgres.start()
    yield postgres
    postgres.stop()


def read_process_id(postgres: EmbeddedPostgres) -> int:
    return int((postgres.data / "postmaster.pid").read_text().splitlines()[0])


def run_as_nobody(script: str, argument: object) -> int:
    """Return the exit status of a line of shell that a process of `nobody` runs."""
    return subprocess.run(
        ["/bin/sh", "-c", script, str(argument)], user=NOBODY, group=NOBODY, extra_groups=[], check=False,
        stderr=subprocess.DEVNULL,
    ).returncode  # fmt: skip


@as_root
def test_no_process_of_nobody_reaches_postgresql(postgres: EmbeddedPostgres) -> None:
    process_id = read_process_id(postgres)

    assert run_as_nobody('echo "host all all all trust" >>"$0"', postgres.data / "pg_hba.conf") != 0
    assert run_as_nobody('ls "$0"', postgres.folder) != 0
    assert run_as_nobody('kill -0 "$0"', process_id) != 0
    assert run_as_nobody('ls -l "/proc/$0/cwd/"', process_id) != 0
    # The same commands succeed where they are permitted.
    assert run_as_nobody('ls "$0"', postgres.folder.parent.parent) == 0
    assert run_as_nobody("kill -0 $$", "") == 0


@as_root
def test_all_of_postgresql_is_of_one_account(postgres: EmbeddedPostgres) -> None:
    user = postgres.data.stat().st_uid

    assert user in NUMBERS
    assert postgres.folder.stat().st_gid == user
    assert {path.stat().st_uid for path in postgres.data.rglob("*")} == {user}
    assert Path(f"/proc/{read_process_id(postgres)}").stat().st_uid == user


@as_root
def test_a_cluster_that_nobody_had_goes_to_an_account_of_its_own(data_dir: Path, postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    postgres.stop()
    # As release 0.2.0 left it, whose server ran as `nobody`.
    hand_over(postgres.data, NOBODY, NOBODY)
    os.chown(postgres.folder, 0, 0)
    postgres.folder.chmod(0o711)

    with psycopg.connect(postgres.start()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)

    assert postgres.data.stat().st_uid in NUMBERS
    assert {path.stat().st_uid for path in postgres.data.rglob("*")} == {postgres.data.stat().st_uid}


@as_root
def test_a_folder_that_the_account_cannot_enter_is_one_line_and_nothing_else(data_dir: Path) -> None:
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(EmbeddedServerError, match=f"{closed} is closed to other accounts: `chmod o\\+x {closed}`"):
        EmbeddedServers(Settings(data_dir=closed / "inner")).attach()

    assert not (closed / "inner" / "postgres" / "data.partial").exists()

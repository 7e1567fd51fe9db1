"""While PostgreSQL is not available, processes wait; then they continue."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from storage.database import connect, wait_out_outages
from storage.embedded.postgres import EmbeddedPostgres
from storage.notifications import Wakeup, listen
from tests.kit.outages import record_outages
from tests.kit.threads import PATIENCE_S, start_thread


def test_work_goes_on_when_postgres_is_back(data_dir: Path) -> None:
    postgres = EmbeddedPostgres(data_dir / "postgres", "secret")
    engine = connect(postgres.start())

    def ask() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text("SELECT 1")).scalar_one())

    heard = listen(engine, ("news",), timeout_s=PATIENCE_S)
    assert ask() == 1
    assert next(heard) == set()
    postgres.stop()
    with pytest.raises(OperationalError):
        ask()

    with ThreadPoolExecutor() as pool:
        answer, listening = pool.submit(wait_out_outages, ask), pool.submit(next, heard)
        postgres.start()
        assert answer.result(PATIENCE_S) == 1
        assert listening.result(PATIENCE_S) == set()

    with engine.begin() as connection:
        connection.execute(text("NOTIFY news, 'back'"))
    assert next(heard) == {"back"}
    engine.dispose()
    postgres.stop()


def test_a_connection_that_the_server_has_ended_is_not_used_again(engine: Engine) -> None:
    with engine.connect() as connection:
        ended = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = connect(engine.url.render_as_string(hide_password=False))
    with other.connect() as connection:
        query = text("SELECT pg_terminate_backend(:pid, :patience_ms)")
        assert connection.execute(query, {"pid": ended, "patience_ms": int(1000 * PATIENCE_S)}).scalar_one()
    other.dispose()

    with engine.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != ended


def test_listening_ends_while_postgres_is_away() -> None:
    engine = connect("postgresql://127.0.0.1:1/none")
    wakeup = Wakeup()

    def listen_to_the_end() -> list[set[str]]:
        return list(listen(engine, ("news",), PATIENCE_S, wakeup))

    with record_outages() as log:
        listening = start_thread(listen_to_the_end)
        assert log.waits.wait(PATIENCE_S)
        wakeup.send()

        assert listening.result(PATIENCE_S) == []

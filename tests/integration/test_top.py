"""The view of `starlight top`, and the effects of its keys on real rows."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console
from sqlalchemy import Engine

from producer.cli.installation import Installation
from producer.cli.top.access import DirectAccess
from producer.cli.top.keys import split_keys
from producer.cli.top.session import TopSession
from producer.cli.top.view import BARS, KEYS, View, draw_line, format_age, render
from starlight_vocabulary.operations import PauseSubject
from starlight_vocabulary.words import Outcome, Priority
from storage.chunks import finish_chunk
from storage.draining import is_draining
from storage.embedded import servers
from storage.pauses import list_pauses
from storage.settings import Settings
from storage.workers import report_worker
from tests.kit.rows import claim_waiting_chunks, execute, make_verdicts, read_job, register_v4, submit_job_of


@pytest.fixture
def session(engine: Engine, configured: Settings) -> Iterator[TopSession]:
    """A session with two jobs, one of which has failed images, and two workers."""
    addresses = servers.Servers(str(configured.database_url), str(configured.redis_url))
    for name in ("cpu0@here", "cpu1@here"):
        report_worker(engine, name, name[:4], register_v4(engine))
    submit_job_of(engine, 8, submitter="ann")
    (first, _) = claim_waiting_chunks(engine)
    assert finish_chunk(engine, first, make_verdicts(engine, first, Outcome.ERROR))
    submit_job_of(engine, 400, submitter="bob\x1b[2J")
    session = TopSession(DirectAccess(Installation(configured, addresses, engine)))
    session.look_and_wait()
    yield session
    session.close()


def show(view: View, width: int = 120, height: int = 40) -> str:
    """Return the view as plain text."""
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(render(view, width, height))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def press(session: TopSession, *keys: str) -> None:
    """Press keys, and update the view."""
    for key in keys:
        assert session.press(key)
    session.look_and_wait()
    session.collect()


def test_the_picture_has_all_of_it(session: TopSession) -> None:
    picture = show(session.view)

    for text in ("4 images/min, target 1,000", "400 pending", "4 running", "2 open jobs, by newest", "ann", "50 %",
                 "cpu0@here", "claiming", "v4-0 000000000000", "last errors", "empty"):  # fmt: skip
        assert text in picture
    # Control characters in a submitter's name are escaped.
    assert "\x1b" not in picture
    assert "bob\\x1b[2J" in picture


@pytest.mark.parametrize(("width", "height"), [(40, 10), (80, 24), (300, 100)])
def test_it_fits_the_terminal(session: TopSession, width: int, height: int) -> None:
    lines = show(session.view, width, height).splitlines()

    assert all(len(line) <= width for line in lines)
    if height >= 24:
        assert len(lines) <= height


@pytest.mark.parametrize("width", [80, 120])
def test_no_figure_is_cut(session: TopSession, width: int) -> None:
    seen = session.view.snapshot
    assert seen is not None
    waiting = dict.fromkeys(seen.statistics.waiting, 9_999_999)
    outcomes = dict.fromkeys(seen.statistics.outcomes, 888_888_888)
    job = replace(
        seen.jobs[0], submitter="s" * 200, name="n" * 200, priority=Priority.INTERACTIVE, total=9_999_999,
        finished=9_999_999, stego=777_777, error=66_666,
    )  # fmt: skip
    statistics = replace(seen.statistics, waiting=waiting, outcomes=outcomes, oldest_waiting_s=119)
    session.view.see(replace(seen, statistics=statistics, jobs=[job]))

    picture = show(session.view, width, 24)

    for state in waiting:
        assert f"9,999,999 {state}" in picture
    for outcome in outcomes:
        assert f"888,888,888 {outcome}" in picture
    for text in (str(job.id)[-12:], "interactive", "100 %", " 9,999,999 ", " 777,777 ", " 66,666 ", "ss…", "nn…",
                 "oldest 119 s", "cpu0@here", "v4-0 000000000000", KEYS):  # fmt: skip
        assert text in picture


def test_keys_that_come_at_once_are_told_apart() -> None:
    assert split_keys(b"\t\x1b[B\x1bOAd\x1b[15~q\xff") == ["tab", "down", "up", "d", "\x1b[15~", "q", "\ufffd"]


def test_before_the_first_look_it_says_so() -> None:
    assert "loading" in show(View())


def test_the_line_reaches_three_quarters_where_the_target_is_reached() -> None:
    line = draw_line([0, 500, 1000, 2000], 1000, 10)

    assert [BARS.index(bar) for bar in line.plain] == [0, 2, 4, 7]
    assert [str(span.style) for span in line.spans] == ["dim", "yellow", "green", "green"]
    assert draw_line([0] * 30, 1000, 10).plain == BARS[0] * 10


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (119, "119 s"), (240, "4 min"), (9000, "2 h"), (200000, "2 d")]
)
def test_ages_are_told_as_people_do(seconds: float, said: str) -> None:
    assert format_age(seconds) == said


def test_jobs_are_sorted_and_chosen(session: TopSession) -> None:
    view = session.view
    assert [job.submitter[:3] for job in view.jobs] == ["bob", "ann"]
    press(session, "s")
    assert view.order.value == "left"
    assert [job.submitter[:3] for job in view.jobs] == ["bob", "ann"]
    press(session, "s")
    assert [job.submitter[:3] for job in view.jobs] == ["ann", "bob"]
    press(session, "s", "s", "down", "down")
    assert view.order.value == "newest"
    assert view.chosen_job is not None
    assert view.chosen_job.submitter == "ann"
    press(session, "up", "up")
    assert view.chosen_job.submitter.startswith("bob")


def test_a_job_is_paused_and_resumed(session: TopSession, engine: Engine) -> None:
    press(session, "down", "p")
    (pause,) = list_pauses(engine)
    assert session.view.chosen_job is not None
    assert pause.subject == PauseSubject(job_id=session.view.chosen_job.id)
    assert "paused: job " in show(session.view)

    press(session, "p")

    assert list_pauses(engine) == []
    press(session, "P")
    assert [each.subject for each in list_pauses(engine)] == [PauseSubject()]


def test_a_worker_drains_and_claims_again(session: TopSession, engine: Engine) -> None:
    press(session, "d")
    assert not is_draining(engine, "cpu1@here")

    press(session, "tab", "down", "d")

    assert is_draining(engine, "cpu1@here")
    assert "draining" in show(session.view)
    press(session, "d")
    assert not is_draining(engine, "cpu1@here")


def test_a_job_is_cancelled_once_somebody_says_yes(session: TopSession, engine: Engine) -> None:
    job_id = _choose(session)
    press(session, "c", "n")
    assert not read_job(engine, job_id).ended

    assert session.press("c")
    assert f"cancel job {job_id} of bob" in show(session.view)
    press(session, "y")

    assert read_job(engine, job_id).ended
    assert "1 open job, by newest" in show(session.view)


def test_what_goes_wrong_is_told_and_the_last_picture_stays(session: TopSession, engine: Engine) -> None:
    execute(engine, "ALTER TABLE pauses RENAME TO gone")

    assert session.press("p")
    with pytest.raises(Exception, match="pauses"):
        session.look_and_wait()
    assert session.collect()

    assert 'relation "pauses" does not exist' in show(session.view)
    assert "2 open jobs" in show(session.view)
    assert not session.press("q")


def _choose(session: TopSession) -> uuid.UUID:
    job = session.view.chosen_job
    assert job is not None
    return job.id

"""Streams of events: each verdict once and in one order, whatever happens to the listening connection."""

import asyncio
import queue
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import Engine, event

from producer.api import notifications
from producer.api.job_events import DONE, JobEvents
from producer.api.job_snapshots import PAGE
from producer.api.known_keys import KnownKeys
from storage.jobs import cancel_job
from storage.keys import create_key, revoke_key
from storage.verdicts import FIRST, Place
from tests.kit.events import Event, list_ordinals, parse_events
from tests.kit.rows import execute, finish_last_chunk, finish_waiting_chunks, submit_job_of
from tests.kit.threads import PATIENCE_S

CUT_LISTENER = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'starlight listener' AND datname = current_database()
"""


def run_with_job_events(
    engine: Engine, follow: Callable[[JobEvents], Coroutine[Any, Any, Any]], keys: KnownKeys | None = None
) -> Any:
    """Return the result of `follow` with running job events."""

    async def run() -> Any:
        async with asyncio.timeout(PATIENCE_S), JobEvents(engine, keys or KnownKeys()) as job_events:
            return await follow(job_events)

    return asyncio.run(run())


async def collect_events(job_events: JobEvents, job_id: uuid.UUID, after: Place = FIRST) -> list[Event]:
    """Return the events of a stream to its end."""
    return [each async for data in job_events.stream(job_id, after) for each in parse_events(data)]


def test_events_come_in_the_order_of_landing_once_each_also_when_the_listener_is_cut(engine: Engine) -> None:
    job_id = submit_job_of(engine, 24)

    async def follow(job_events: JobEvents) -> list[Event]:
        seen = []
        async for data in job_events.stream(job_id, FIRST):
            for each in parse_events(data):
                seen.append(each)
                if each[0] == "progress" and each[2]["finished"] < each[2]["total"]:
                    if each[2]["finished"] in (4, 16):
                        execute(engine, CUT_LISTENER)
                    await asyncio.to_thread(finish_last_chunk, engine)
        return seen

    events = run_with_job_events(engine, follow)

    assert list_ordinals(events) == [first + place for first in (20, 16, 12, 8, 4, 0) for place in range(4)]
    finished = [data["finished"] for name, _, data in events if name == "progress"]
    assert finished == [0, 4, 8, 12, 16, 20, 24]
    assert [(name, event_id, data["state"]) for name, event_id, data in events[-1:]] == [("done", DONE, "done")]
    assert [name for name, _, _ in events].count("done") == 1


def test_a_stream_goes_on_behind_any_event_it_has_seen(engine: Engine) -> None:
    job_id = submit_job_of(engine, 2 * PAGE + 8, chunk_size=PAGE + 4)
    finish_last_chunk(engine)
    cancel_job(engine, job_id)

    async def follow(job_events: JobEvents) -> tuple[list[Event], list[list[Event]]]:
        whole = await collect_events(job_events, job_id)
        places = [Place(*map(int, event_id.split("-"))) for name, event_id, _ in whole if name == "verdict"]
        chosen = (0, PAGE - 1, PAGE, PAGE + 3, PAGE + 4, 2 * PAGE + 7)
        return whole, [await collect_events(job_events, job_id, places[index]) for index in chosen]

    whole, rests = run_with_job_events(engine, follow)

    assert len(list_ordinals(whole)) == len(set(list_ordinals(whole))) == 2 * PAGE + 8
    for index, rest in zip((0, PAGE - 1, PAGE, PAGE + 3, PAGE + 4, 2 * PAGE + 7), rests, strict=True):
        assert list_ordinals(rest) == list_ordinals(whole)[index + 1 :]
        assert [name for name, _, _ in rest[-2:]] == ["progress", "done"]


def test_streams_end_when_the_server_is_to_stop_and_go_on_at_the_next(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)

    async def until_closed(job_events: JobEvents) -> list[Event]:
        seen = []
        async for data in job_events.stream(job_id, FIRST):
            seen += parse_events(data)
            if list_ordinals(seen):
                job_events.close()
            else:
                await asyncio.to_thread(finish_last_chunk, engine)
        return seen

    first = run_with_job_events(engine, until_closed)
    finish_last_chunk(engine)
    place = Place(*map(int, next(event_id for name, event_id, _ in reversed(first) if name == "verdict").split("-")))
    second = run_with_job_events(engine, lambda job_events: collect_events(job_events, job_id, place))

    assert list_ordinals(first) == [4, 5, 6, 7]
    assert list_ordinals(second) == [0, 1, 2, 3]
    assert [name for name, _, _ in first + second].count("done") == 1


def test_a_thousand_streams_share_what_is_read(engine: Engine) -> None:
    job_id = submit_job_of(engine, 8)
    others = [submit_job_of(engine, 1) for _ in range(100)]
    queries = []

    async def follow(job_events: JobEvents) -> list[list[Event]]:
        streams = [asyncio.create_task(collect_events(job_events, job_id)) for _ in range(900)]
        streams += [asyncio.create_task(collect_events(job_events, other)) for other in others]
        await asyncio.to_thread(finish_waiting_chunks, engine)
        return await asyncio.gather(*streams)

    event.listen(engine, "before_cursor_execute", lambda *arguments: queries.append(arguments[2]))
    streams = run_with_job_events(engine, follow)

    assert all(sorted(list_ordinals(events)) == list(range(8)) for events in streams[:900])
    assert all(list_ordinals(events) == [0] and events[-1][0] == "done" for events in streams[900:])
    reads = [query for query in queries if "(landed, ordinal) >" in query]
    assert len(reads) < 1000


class ToldKeys(KnownKeys):
    """Reports each time that all keys are forgotten, and whether a thread listens then."""

    def __init__(self) -> None:
        super().__init__()
        self.told: queue.Queue[bool] = queue.Queue()

    def forget_all(self, *, is_listening: bool) -> None:
        super().forget_all(is_listening=is_listening)
        self.told.put(is_listening)


def test_keys_are_looked_up_again_when_one_is_revoked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only a notification may cause the keys to be forgotten, not polling.
    monkeypatch.setattr(notifications, "POLL_S", 10 * PATIENCE_S)
    create_key(engine, "ann", ["read"])
    keys = ToldKeys()

    async def revoke(_: JobEvents) -> list[bool]:
        at_first = await asyncio.to_thread(keys.told.get, timeout=PATIENCE_S)
        await asyncio.to_thread(revoke_key, engine, "ann")
        return [at_first, await asyncio.to_thread(keys.told.get, timeout=PATIENCE_S)]

    assert run_with_job_events(engine, revoke, keys) == [True, True]
    assert keys.told.get(timeout=PATIENCE_S) is False

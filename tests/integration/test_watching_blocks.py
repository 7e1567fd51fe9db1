"""Watching the chain: images of new blocks become jobs once, whichever process dies or block is replaced."""

from collections.abc import Iterator

import pytest
from btclib.tx.tx import Tx
from sqlalchemy import Engine, text

from producer.sources.errors import SourceAwayError, SourceError
from producer.watching.opening import WatchOptions, open_source
from producer.watching.watcher import Watcher
from starlight_vocabulary.job import JobOptions
from storage.settings import Settings
from tests.kit.chain import ENDIF, IF, get_id, inscribe, make_script, push, spend
from tests.kit.chain_node import ChainNode, serve_chain
from tests.kit.pictures import encode_strip
from tests.kit.rows import execute

OPTIONS = WatchOptions(every_s=0, settle_s=0)


@pytest.fixture
def node() -> Iterator[ChainNode]:
    with serve_chain() as running:
        yield running


@pytest.fixture
def settings(configured: Settings, node: ChainNode) -> Settings:
    return configured.model_copy(update={"bitcoin_url": node.urls["rest"]})


def look_anew(engine: Engine, settings: Settings) -> None:
    """Submit the arrivals that a newly started command finds."""
    source = open_source("bitcoin:", settings, OPTIONS)
    Watcher(engine, settings, source, JobOptions()).run_once(lambda submission: None)


def reveal(width: int) -> Tx:
    """Return a transaction that inscribes an image of this width and a text."""
    return spend(make_script(inscribe(encode_strip(width)), inscribe(b"text", "text/plain")))


def name(transaction: Tx) -> str:
    return f"bitcoin:{get_id(transaction)}:i0"


def list_jobs(engine: Engine) -> list[list[str]]:
    """Return the names of each job's images, in the order of submission."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT refs FROM chunks ORDER BY job_id")).scalars()
        return [[uri.rpartition("/")[2] for uri in refs] for refs in found]


def test_each_block_from_the_next_one_on_is_a_job_also_for_who_starts_later(
    engine: Engine, settings: Settings, node: ChainNode
) -> None:
    old, first, second, third = (reveal(width) for width in range(1, 5))
    node.add(old)
    look_anew(engine, settings)
    assert list_jobs(engine) == []

    node.add(first, second)
    node.add()
    node.add(third)
    look_anew(engine, settings)
    look_anew(engine, settings)

    assert list_jobs(engine) == [[name(first), name(second)], [name(third)]]


def test_blocks_that_replace_others_are_scanned_and_nothing_twice(
    engine: Engine, settings: Settings, node: ChainNode
) -> None:
    first, second, third, fourth = (reveal(width) for width in range(1, 5))
    look_anew(engine, settings)
    node.add(first)
    node.add(second)
    look_anew(engine, settings)

    # The transactions of two blocks are in one block now, with more, and the chain is temporarily shorter.
    node.forget(2)
    node.add(second, third, first, extra=1)
    look_anew(engine, settings)
    node.add(fourth)
    look_anew(engine, settings)

    assert list_jobs(engine) == [[name(first)], [name(second)], [name(third)], [name(fourth)]]


def test_images_of_blocks_are_known_for_a_month(engine: Engine, settings: Settings, node: ChainNode) -> None:
    known = text("SELECT count(*) FROM watched_files")
    for width in (1, 2):
        look_anew(engine, settings)
        node.add(reveal(width))
        execute(engine, "UPDATE watches SET compared_at = compared_at - interval '2 days'")
    look_anew(engine, settings)
    with engine.connect() as connection:
        assert connection.execute(known).scalar_one() == 2
    execute(engine, "UPDATE watches SET compared_at = compared_at - interval '2 days'")
    execute(engine, "UPDATE watched_files SET absent_since = absent_since - interval '31 days'")

    look_anew(engine, settings)

    with engine.connect() as connection:
        assert connection.execute(known).scalar_one() == 0
    assert len(list_jobs(engine)) == 2


def test_a_node_that_sends_something_else_is_asked_again(engine: Engine, settings: Settings, node: ChainNode) -> None:
    look_anew(engine, settings)
    node.add(transaction := reveal(1))
    node.spoil = lambda data: data[:-1]
    with pytest.raises(SourceAwayError, match="cut or damaged"):
        look_anew(engine, settings)
    node.spoil = bytes

    look_anew(engine, settings)

    assert list_jobs(engine) == [[name(transaction)]]


def test_a_block_that_takes_too_much_keeps_no_other_waiting(
    engine: Engine, settings: Settings, node: ChainNode, caplog: pytest.LogCaptureFixture
) -> None:
    look_anew(engine, settings)
    # The maximum size of a block; reading it takes several times the allowed time.
    node.add(spend(make_script(*(560_000 * [push(b"") + IF + push(b"ord") + ENDIF]))))
    node.add(transaction := reveal(1))

    look_anew(engine, settings.model_copy(update={"max_unpack_seconds": 1}))

    assert "block 1 is skipped" in caplog.text
    assert "STARLIGHT_MAX_UNPACK_SECONDS" in caplog.text
    assert list_jobs(engine) == [[name(transaction)]]


def test_what_does_not_change_is_not_watched(settings: Settings) -> None:
    with pytest.raises(SourceError, match="watch 'bitcoin:' for new blocks"):
        open_source("bitcoin:block/1", settings, OPTIONS)

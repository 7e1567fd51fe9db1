"""Searching in hidden messages, and storing messages that strangers chose."""

import string

import pytest
from sqlalchemy import Engine, text

from starlight_vocabulary.words import BitOrder, Method, Outcome
from storage import message_search
from storage.chunks import finish_chunk
from storage.message_search import check_part, check_words
from storage.new_verdict import NewVerdict
from storage.time_limits import QueryTooLongError
from storage.verdict_search import VerdictFilter, find_verdicts
from tests.kit.rows import claim_waiting_chunks, register_v4, submit_job_of

MESSAGES = (
    "Meet me at NOON by the mill", "at noon, meet-me_there: http://Example.com/path?q=50%", "noontide",
    "ÜBER 食べ物 straße", "a_b", "axb", r"C:\temp", None,
)  # fmt: skip
# More characters than the default limit of messages, since the setting may be raised.
MANY = 2**17


def store_messages(engine: Engine, *messages: str | None) -> None:
    """Store a new job with a stego verdict for each of these messages."""
    submit_job_of(engine, len(messages), chunk_size=len(messages))
    (claim,) = claim_waiting_chunks(engine)
    model_id = register_v4(engine)
    assert finish_chunk(
        engine,
        claim,
        [
            NewVerdict(
                place, claim.refs[place], Outcome.STEGO, b"\1" * 32, 0.9, Method.RAW, BitOrder.NONE, message,
                model_id=model_id,
            )
            for place, message in enumerate(messages)
        ],
    )  # fmt: skip


def find(engine: Engine, *, words: str | None = None, part: str | None = None) -> list[int]:
    return [each.ordinal for each in find_verdicts(engine, VerdictFilter(words=words, part=part))]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("noon", [0, 1]), ("Noon meet", [0, 1]), ("noon mill", [0]), ("example", [1]), ("there path 50", [1]),
        ("über", [3]), ("食べ物", [3]), ("meet-me", [0, 1]), ("temp", [6]), ("noo", []), ("straße", [3]),
        ("midnight", []),
    ],
)  # fmt: skip
def test_all_words_stand_in_the_message_in_any_order_and_case(engine: Engine, words: str, found: list[int]) -> None:
    store_messages(engine, *MESSAGES)

    assert find(engine, words=check_words(words)) == found


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("noon", [0, 1, 2]),
        ("EET ME", [0]),
        ("50%", [1]),
        ("%", [1]),
        ("a_b", [4]),
        ("\\t", [6]),
        ("べ", [3]),
        ("'", []),
    ],
)
def test_a_part_stands_in_the_message_as_it_is(engine: Engine, part: str, found: list[int]) -> None:
    store_messages(engine, *MESSAGES)

    assert find(engine, part=check_part(part)) == found


def test_words_and_a_part_narrow_each_other(engine: Engine) -> None:
    store_messages(engine, *MESSAGES)

    assert find(engine, words="noon", part="Example.com") == [1]


# Without special care, each would exceed a limit of PostgreSQL's full-text search, or take too long.
HOSTILE = {
    "one word": "x" * MANY,
    "a word longer once it is in lower case": "Ⱥ" * 2**16,
    "many words": " ".join(chr(0x4E00 + place) + chr(0x3400 + place % 6000) for place in range(20_000)),
    "many short words": "".join(chr(0x10400 + place % 40) + chr(0xC0 + place % 60) + "," for place in range(MANY // 3)),
    "words of one letter": "a " * (MANY // 2),
    "control characters": "\x01\x7f\u202e\ufeff" * (MANY // 4),
    **{f"nothing but {mark}": f"a{mark}" * (MANY // 2) for mark in string.punctuation},
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_is_hidden_is_stored(engine: Engine, kind: str) -> None:
    store_messages(engine, HOSTILE[kind], "beside it")

    assert find(engine, words="beside") == [1]
    assert find(engine, part=HOSTILE[kind][-20:].strip() or "\x01") == [0]


def test_clean_images_are_in_no_index_of_messages(engine: Engine) -> None:
    with engine.connect() as connection:
        listed = text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'verdicts'")
        definitions = dict(map(tuple, connection.execute(listed)))

    for name in ("ix_verdicts_words", "ix_verdicts_messages"):
        assert definitions[name].endswith("WHERE (extracted_message IS NOT NULL)")


def test_a_search_that_takes_too_long_is_given_up_and_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_search, "SEARCH_TIMEOUT_S", 0.05)
    with engine.begin() as holder:
        holder.execute(text("LOCK TABLE verdicts"))
        with pytest.raises(QueryTooLongError, match="narrow it to a job or a time range"):
            find(engine, part="noon")


@pytest.mark.parametrize("words", ["", "...", "a" * 201, "a\0", "\ud800a"])
def test_what_cannot_be_found_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"word|characters"):
        check_words(words)

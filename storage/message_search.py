"""Searching in hidden messages: by words, which an index finds, and by any part, for which messages are read."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from storage.database import connect_to_read

SEARCH_TIMEOUT_S = 10
# Characters that may be looked for.
MAX_SOUGHT = 200

# Conditions on rows of `verdicts`. The functions are those of the database that a migration made.
HAS_WORDS = "extracted_message IS NOT NULL AND message_words(extracted_message) @@ words_sought(:words)"
HAS_PART = "extracted_message IS NOT NULL AND message_folded(extracted_message) LIKE message_folded(:part)"


class SearchTooLongError(RuntimeError):
    """A search in messages that was given up; the message says what to do."""

    def __init__(self) -> None:
        super().__init__(
            f"this search in messages takes longer than {SEARCH_TIMEOUT_S} s: narrow it to a job or to a time, "
            "or look for whole words"
        )


def check_words(words: str) -> str:
    """Return words to look for; raises ValueError where there is none, or too much."""
    if not any(letter.isalnum() for letter in words):
        raise ValueError("there is no word in it: look for a part")
    return check_part(words)


def check_part(part: str) -> str:
    """Return a text to look for; raises ValueError where no message can have it."""
    if not part or len(part) > MAX_SOUGHT:
        raise ValueError(f"what is looked for has 1 to {MAX_SOUGHT} characters")
    if "\0" in part or any("\ud800" <= letter <= "\udfff" for letter in part):
        raise ValueError("no message has such characters")
    return part


def write_pattern(part: str) -> str:
    """Return the pattern of LIKE for a text that has this part."""
    for special in "\\%_":
        part = part.replace(special, f"\\{special}")
    return f"%{part}%"


@contextmanager
def connect_to_search(engine: Engine, *, in_messages: bool) -> Iterator[Connection]:
    """Yield a connection to read with, on which a search in messages is given up in time: raises SearchTooLongError."""
    if not in_messages:
        with connect_to_read(engine) as connection:
            yield connection
        return
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL statement_timeout = '{SEARCH_TIMEOUT_S}s'"))
            yield connection
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise SearchTooLongError from error
        raise

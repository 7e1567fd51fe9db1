"""Searching in hidden messages: by words, which an index finds, and by any part, for which messages are read."""

from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine

from storage.database import connect_to_read
from storage.time_limits import connect_within

SEARCH_TIMEOUT_S = 10
# Characters that may be looked for.
MAX_SOUGHT = 200

# Conditions on rows of `verdicts`. The functions are those of the database that a migration made.
HAS_WORDS = "extracted_message IS NOT NULL AND message_words(extracted_message) @@ words_sought(:words)"
HAS_PART = "extracted_message IS NOT NULL AND message_folded(extracted_message) LIKE message_folded(:part)"


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


def connect_to_search(engine: Engine, *, in_messages: bool) -> AbstractContextManager[Connection]:
    """Return a connection to read with, on which a search in messages is given up in time: raises QueryTooLongError."""
    if not in_messages:
        return connect_to_read(engine)
    advice = "narrow it to a job or to a time, or look for whole words"
    return connect_within(engine, SEARCH_TIMEOUT_S, "this search in messages", advice)

"""Searching in hidden messages: by words, which have an index, or by any substring, which reads messages."""

from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine

from storage.database import connect_to_read
from storage.time_limits import connect_within

SEARCH_TIMEOUT_S = 10
# The maximum length of a search term, in characters.
MAX_SOUGHT = 200

# Conditions on rows of `verdicts`; a migration created these functions.
HAS_WORDS = "extracted_message IS NOT NULL AND message_words(extracted_message) @@ words_sought(:words)"
HAS_PART = "extracted_message IS NOT NULL AND message_folded(extracted_message) LIKE message_folded(:part)"


def check_words(words: str) -> str:
    """Return the words to search for; raises ValueError if there is none, or the term is too long."""
    if not any(letter.isalnum() for letter in words):
        raise ValueError("it contains no word: search for a part instead")
    return check_part(words)


def check_part(part: str) -> str:
    """Return the substring to search for; raises ValueError if no message can contain it."""
    if not part or len(part) > MAX_SOUGHT:
        raise ValueError(f"a search term has 1 to {MAX_SOUGHT} characters")
    if "\0" in part or any("\ud800" <= letter <= "\udfff" for letter in part):
        raise ValueError("no message contains such characters")
    return part


def write_pattern(part: str) -> str:
    """Return the LIKE pattern for texts that contain this part."""
    for special in "\\%_":
        part = part.replace(special, f"\\{special}")
    return f"%{part}%"


def connect_to_search(engine: Engine, *, in_messages: bool) -> AbstractContextManager[Connection]:
    """Return a connection for a search in messages with a time limit; the search raises QueryTooLongError."""
    if not in_messages:
        return connect_to_read(engine)
    advice = "narrow it to a job or a time range, or search for whole words"
    return connect_within(engine, SEARCH_TIMEOUT_S, "this search in messages", advice)

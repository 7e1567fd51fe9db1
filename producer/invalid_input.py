"""What Pydantic says about invalid input, in words for people."""

from collections.abc import Mapping
from typing import Any

from starlight_vocabulary.job import NO_NUL


def explain(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a field as a sentence for people."""
    match error:
        case {"type": "value_error", "ctx": {"error": reason}}:
            return str(reason)
        case {"type": "string_pattern_mismatch", "ctx": {"pattern": pattern}} if pattern == NO_NUL:
            return "must not contain the character NUL"
    return str(error["msg"])

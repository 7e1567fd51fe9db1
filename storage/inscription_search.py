"""Searching for verdicts of inscriptions by name."""

import re
from typing import Final

# `inscription` is a database function: the `TXID:iN` in a reference, null for other references.
INSCRIPTION: Final = 'inscription(uri COLLATE "C")'
IS_INSCRIPTION: Final = f"{INSCRIPTION} = :inscription"
# Matches all names with the prefix `TXID:`, because `;` is the character after `:`.
IS_OF_TRANSACTION: Final = f"{INSCRIPTION} >= :transaction || ':' AND {INSCRIPTION} < :transaction || ';'"

_NAME: Final = re.compile(r"(?:bitcoin:)?([0-9a-fA-F]{64})(?::?i([0-9]{1,9}))?")


def check_inscription(name: str) -> str:
    """Return the search term in the form `TXID:iN`, or `TXID`; also accepts ord's `TXIDiN` and a URI.

    Raises ValueError if it is none of these.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError("use TXID:iN for an inscription, or TXID for a whole transaction, with 64 hexadecimal digits")
    return found[1].lower() if found[2] is None else f"{found[1].lower()}:i{int(found[2])}"


def narrow_to_inscription(name: str | None) -> dict[str, dict[str, str | None]]:
    """Return the condition and its parameter for a result of `check_inscription`; None means no condition."""
    if name is None or ":" in name:
        return {IS_INSCRIPTION: {"inscription": name}}
    return {IS_OF_TRANSACTION: {"transaction": name}}

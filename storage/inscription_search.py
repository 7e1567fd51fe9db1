"""Searching for inscriptions: by the name under which the chain's images are stored."""

import re
from typing import Final

# `inscription` is a function of the database: the name in a reference, `TXID:iN`, null of all that is no inscription.
INSCRIPTION: Final = 'inscription(uri COLLATE "C")'
IS_INSCRIPTION: Final = f"{INSCRIPTION} = :inscription"
# Those of a transaction stand together, and `;` comes next after `:`.
IS_OF_TRANSACTION: Final = f"{INSCRIPTION} >= :transaction || ':' AND {INSCRIPTION} < :transaction || ';'"

_NAME: Final = re.compile(r"(?:bitcoin:)?([0-9a-fA-F]{64})(?::?i([0-9]{1,9}))?")


def check_inscription(name: str) -> str:
    """Return what is looked for as `TXID:iN`, or `TXID` of all in a transaction; ord's `TXIDiN` and a URI are taken.

    Raises ValueError where it names none.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError("an inscription is called TXID:iN, and all of a transaction TXID, of 64 hexadecimal digits")
    return found[1].lower() if found[2] is None else f"{found[1].lower()}:i{int(found[2])}"


def narrow_to_inscription(name: str | None) -> dict[str, dict[str, str | None]]:
    """Return the condition for what `check_inscription` returned, with its parameter; one of None is not used."""
    if name is None or ":" in name:
        return {IS_INSCRIPTION: {"inscription": name}}
    return {IS_OF_TRANSACTION: {"transaction": name}}

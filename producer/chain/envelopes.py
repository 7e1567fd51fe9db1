"""Envelopes in witnesses, by ord's rules: `OP_FALSE OP_IF "ord"`, fields, an empty push, the body, `OP_ENDIF`.

Inscriptions are numbered by their envelopes, so malformed scripts must be handled as ord does: a script that ends
within a push has no envelopes, and an envelope with an op code that is not a push does not count.
Source: `src/inscriptions/envelope.rs` of https://github.com/ordinals/ord, and its documentation of tags.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from btclib.script.script import read_op_code
from btclib.tx.tx import Tx

PROTOCOL: Final = b"ord"
CONTENT_ENCODING: Final = b"\x09"
DELEGATE: Final = b"\x0b"

OP_IF: Final = 0x63
OP_ENDIF: Final = 0x68
# OP_PUSHDATA1, 2 and 4, and the size of the length field before their data.
LAST_PUSH: Final = 78
LENGTH_BYTES: Final = {76: 1, 77: 2, 78: 4}
# Numbers with their own op codes: -1, and 1 to 16.
NUMBERS: Final = {0x4F: b"\x81", **{0x50 + number: bytes([number]) for number in range(1, 17)}}
ANNEX: Final = 0x50


@dataclass(frozen=True, slots=True)
class Inscription:
    """One inscription: its number in its transaction, its body, the content encoding, and the id of a delegate.

    The delegate is another inscription, whose content this one shows; b"" if there is none.
    """

    number: int
    body: bytes
    encoding: bytes
    delegate: bytes


def read_inscriptions(transaction: Tx) -> Iterator[Inscription]:
    """Yield the inscriptions of a transaction, numbered over all its inputs."""
    number = 0
    for tx_input in transaction.vin:
        script = find_tapscript(tx_input.script_witness.stack)
        if script is None or PROTOCOL not in script:
            continue
        for envelope in find_envelopes(script):
            yield Inscription(
                number,
                bytes(envelope.body),
                envelope.fields.get(CONTENT_ENCODING, b""),
                envelope.fields.get(DELEGATE, b""),
            )
            number += 1


def find_tapscript(stack: Sequence[bytes]) -> bytes | None:
    """Return the tapscript of a witness, the element before the control block, or None if there is none."""
    has_annex = len(stack) > 1 and stack[-1][:1] == bytes([ANNEX])
    place = len(stack) - 2 - has_annex
    return stack[place] if place >= 0 else None


class Envelope:
    """The data pushed after the protocol's name: tags and values, an empty tag, and the body in pieces.

    If a tag is repeated, its first value counts.
    """

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.body = bytearray()
        self._tag: bytes | None = None
        self._in_body = False

    def add(self, pushed: bytes) -> None:
        """Add the data of the next push."""
        if self._in_body:
            self.body += pushed
        elif self._tag is not None:
            self.fields.setdefault(self._tag, pushed)
            self._tag = None
        elif pushed:
            self._tag = pushed
        else:
            self._in_body = True


def find_envelopes(script: bytes) -> list[Envelope]:
    """Return the envelopes of a script."""
    found = []
    at = 0
    while (read := read_op_code(script, at)) is not None:
        start, at = at, read[1]
        if _read_push(script, start, *read) == b"":
            at, envelope = _read_envelope(script, at)
            if envelope is not None:
                found.append(envelope)
    return found if at == len(script) else []


def _read_envelope(script: bytes, at: int) -> tuple[int, Envelope | None]:
    """Return the envelope that starts after an empty push, if there is one, and the offset to continue at."""
    read = read_op_code(script, at)
    if read is None or read[0] != OP_IF:
        return at, None
    at = read[1]
    read = read_op_code(script, at)
    if read is None or _read_push(script, at, *read) != PROTOCOL:
        return at, None
    at = read[1]
    envelope = Envelope()
    while (read := read_op_code(script, at)) is not None:
        start, at = at, read[1]
        if read[0] == OP_ENDIF:
            return at, envelope
        pushed = NUMBERS.get(read[0]) or _read_push(script, start, *read)
        if pushed is None:
            break
        envelope.add(pushed)
    return at, None


def _read_push(script: bytes, start: int, op_code: int, stop: int) -> bytes | None:
    """Return the data that the op code from `start` to `stop` pushes from the script, or None if it is not a push."""
    if op_code > LAST_PUSH:
        return None
    return script[start + 1 + LENGTH_BYTES.get(op_code, 0) : stop]

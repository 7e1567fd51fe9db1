"""Envelopes by ord's rules: which are recognised, their numbers, and their contents."""

import pytest
from btclib.script.witness import Witness
from btclib.tx.tx import Tx
from btclib.tx.tx_in import TxIn
from hypothesis import given
from hypothesis import strategies as st

from producer.chain.envelopes import find_envelopes, find_tapscript, read_inscriptions
from tests.kit.chain import CHECKSIG, CONTROL, ENDIF, IF, inscribe, make_script, push, spend

START = push(b"") + IF + push(b"ord")
WHOLE = START + push(b"\x01") + push(b"text/plain") + push(b"") + push(b"body") + ENDIF


@pytest.mark.parametrize(
    ("script", "bodies"),
    [
        (b"", []),
        (WHOLE, [b"body"]),
        (WHOLE + CHECKSIG, [b"body"]),
        (CHECKSIG + WHOLE, [b"body"]),
        (WHOLE + WHOLE, [b"body", b"body"]),
        (START + ENDIF, [b""]),
        (START + push(b"") + ENDIF, [b""]),
        (START + push(b"") + push(b"") + push(b"a") + push(b"") + push(b"b") + ENDIF, [b"ab"]),
        # An empty value does not end the fields; a tag without a value is not a field.
        (START + push(b"\x05") + push(b"") + push(b"") + push(b"a") + ENDIF, [b"a"]),
        (START + push(b"\x05") + ENDIF, [b""]),
        # Pushes by other op codes than the shortest.
        (b"\x4c\x00" + IF + b"\x4d\x03\x00ord" + b"\x4e\x00\x00\x00\x00" + b"\x4c\x01a" + ENDIF, [b"a"]),
        (START + push(b"") + b"\x51\x60\x4f" + ENDIF, [b"\x01\x10\x81"]),
        # Not an envelope.
        (push(b"") + IF + push(b"Ord") + ENDIF, []),
        (push(b"") + push(b"ord") + ENDIF, []),
        (b"\x51" + IF + push(b"ord") + ENDIF, []),
        (START, []),
        (START + CHECKSIG + ENDIF, []),
        (START + b"\x50" + ENDIF, []),
        # Other code before an envelope.
        (push(b"") + push(b"") + IF + push(b"ord") + ENDIF, [b""]),
        (push(b"") + IF + WHOLE, [b"body"]),
        (START + START + ENDIF, []),
        (START + CHECKSIG + WHOLE, [b"body"]),
        # A script that ends within a push has no envelopes.
        (WHOLE + b"\x01", []),
        (WHOLE + b"\x4d\x00", []),
    ],
)
def test_envelopes_are_those_that_ord_finds(script: bytes, bodies: list[bytes]) -> None:
    assert [bytes(each.body) for each in find_envelopes(script)] == bodies


def test_a_body_comes_in_pieces_of_any_size_and_fields_hold_as_they_came_first() -> None:
    body = bytes(range(256)) * 9
    for piece_bytes in (1, 75, 76, 255, 256, 520):
        script = make_script(
            inscribe(body, "image/png", (9, b"br"), (9, b"gzip"), (11, b"id"), piece_bytes=piece_bytes)
        )

        [found] = read_inscriptions(spend(script))

        assert (found.number, found.body, found.encoding, found.delegate) == (0, body, b"br", b"id")


def test_inscriptions_are_numbered_over_all_inputs_of_a_transaction_whatever_they_point_to() -> None:
    scripts = [
        make_script(inscribe(b"0"), inscribe(b"1", "", (2, b"\xff"))),
        make_script(),
        make_script(inscribe(b"2")) + b"\x01",
        make_script(inscribe(b"3")),
    ]

    found = list(read_inscriptions(spend(*scripts)))

    assert [(each.number, each.body) for each in found] == [(0, b"0"), (1, b"1"), (2, b"3")]


def test_scripts_are_found_in_front_of_control_blocks_and_annexes() -> None:
    script = make_script(inscribe(b"body"))
    for stack, expected in (
        ([script, CONTROL], script),
        ([b"signature", script, CONTROL], script),
        ([b"signature", script, CONTROL, b"\x50annex"], script),
        ([script], None),
        ([script, b"\x50"], None),
        ([], None),
    ):
        assert find_tapscript(stack) == expected

    [found] = read_inscriptions(spend(script, annex=b"\x50annex"))
    assert found.body == b"body"
    assert list(read_inscriptions(Tx(2, 0, [TxIn(script_witness=Witness([script]))], [], check_validity=False))) == []


@given(st.lists(st.sampled_from([b"\x00", IF, push(b"ord"), ENDIF, b"\x51", b"\x4c", b"\x05", CHECKSIG]), max_size=40))
def test_no_script_ends_in_an_error(parts: list[bytes]) -> None:
    script = b"".join(parts)

    assert len(find_envelopes(script)) <= script.count(b"ord")

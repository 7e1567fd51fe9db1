"""End marks are removed from texts; endings that only resemble one are kept."""

import pytest

from tests.kit.carriers import LIMIT, Samples, read
from worker.v4.end_marks import cut_end_mark
from worker.v4.payloads import read_payload_of


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (b"said.it=", b"<EOF>"), (b"(a) | (b)", b"#END#"), (b"the bridge at noo", b"stop"),
        (b"come: ", b"[END OF FILE]"), (b"],\n    ", b"END"), (b"http://a.io/would/", b"EOF"),
        (b"Wait there", b"===STOP==="), (b"f(x)", b"(end)"), (b"the key", b"*^*^*"),
        (b"<b>Wait</b>", b"stop"), (b"the way down", b"/0"),
    ],
)  # fmt: skip
def test_a_mark_is_cut_without_the_text_before_it(text: bytes, mark: bytes) -> None:
    assert cut_end_mark(text + mark, is_closed=True) == (text, mark.decode())


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN KEY-----", b"a flight nonstop", b"wait at the bus stop", b"the backstop", b"please stop",
        b"THE END", b"friend", b"1/0", b"http://a.io/0.5", b"the list /0ab",
    ],
)  # fmt: skip
def test_what_resembles_a_mark_stays(text: bytes) -> None:
    assert cut_end_mark(text, is_closed=True) == (text, None)


def test_noise_may_follow_a_slash_and_a_zero_where_nothing_closes_the_text() -> None:
    assert cut_end_mark(b"the way down/0?k", is_closed=False) == (b"the way down", "/0")


def test_a_mark_is_found_before_noise_that_happens_to_have_a_zero() -> None:
    hidden = b"But his these water on - First are midnight to use th<EOF>\xdb\xb6!Z\x00"

    assert read(hidden).payload.closed_by == "end mark '<EOF>'"


def test_a_script_ends_at_its_mark() -> None:
    script = b"#!/bin/sh\nfor name in $(ls); do echo $name; done\necho done and gone"

    found = read_payload_of(Samples(script + b"#####" + b"I\x92\xff" * 9), LIMIT).payload

    assert (found.size, found.closed_by) == (len(script), "end mark '#####'")

"""A verdict as a record: the names of the interface, and what a score and a payload say."""

import re
from pathlib import Path

from starlight_vocabulary.records import to_json
from starlight_vocabulary.verdict import VERDICT_KEYS
from tests.kit.payloads import make_payload
from tests.kit.verdicts import ARCHIVE, CLEAN, FAILED, LISTED, STEGO

README = Path(__file__).parents[2] / "README.md"


def test_a_record_has_the_names_of_the_interface_in_their_order() -> None:
    promised = (
        "job_id, ordinal, uri, sha256, outcome, is_stego, stego_probability, confidence, prediction, stego_type, "
        "bit_order, extracted_message, error_code, error_detail, model, threshold, width, height, format, size_bytes, "
        "reused, scanned_at, payload"
    )

    for each in (CLEAN, STEGO, FAILED):
        assert tuple(to_json(each)) == VERDICT_KEYS == tuple(promised.split(", "))


def test_the_readme_explains_every_key() -> None:
    table = README.read_text(encoding="utf-8").partition("| key | meaning |")[2].partition("\n\n")[0]
    keys = " ".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE))

    assert sorted(re.findall(r"`(\w+)`", keys)) == sorted(VERDICT_KEYS)


def test_a_score_is_told_in_all_its_forms() -> None:
    assert (CLEAN.is_stego, CLEAN.prediction, CLEAN.confidence) == (False, "clean", 0.75)
    assert (STEGO.is_stego, STEGO.prediction, STEGO.confidence) == (True, "stego", 0.9876)
    assert STEGO.stego_type == "lsb.rgb"
    assert CLEAN.model == f"starlight-4.0@sha256:{'ab' * 32}"
    assert CLEAN.sha256 == bytes(range(32)).hex()
    assert to_json(CLEAN)["scanned_at"] == "2026-11-23T12:00:00+00:00"


def test_what_has_no_score_claims_none() -> None:
    resting_on_a_score = ("is_stego", "stego_probability", "confidence", "prediction", "model", "threshold")

    assert [getattr(FAILED, name) for name in resting_on_a_score] == [None] * len(resting_on_a_score)


def test_the_text_of_a_payload_is_the_message() -> None:
    assert STEGO.payload == make_payload()
    assert ARCHIVE.payload == LISTED
    assert ARCHIVE.extracted_message == "zip archive, 8,589,934,592 bytes, ü.txt (1,099,511,627,776 bytes)"

"""The ten questions of docs/page.md: the page and the views give the same answers."""

import re
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine

from starlight_vocabulary.words import ErrorCode, Method
from tests.kit.analyst_questions import VARIABLE
from tests.kit.api import Api
from tests.kit.page import read_page, run_page_as, scan
from tests.kit.pictures import encode_pattern

DOCUMENT = Path(__file__).parents[3] / "docs" / "page.md"
ROW = re.compile(r"^\| [^|]+\? \| `(\S+)`[^|]* \| `(SELECT [^|]+)` \|$", re.MULTILINE)
PNG = encode_pattern("PNG")
STEGO = {"stego_probability": 0.75, "method": Method.ALPHA, "extracted_message": "noon"}


def test_each_is_answered_by_the_page_and_by_sql(api: Api, engine: Engine, database_url: str) -> None:
    questions = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    failed: dict[str, Any] = {"error_code": ErrorCode.EMPTY}
    compared = 0
    with run_page_as(api, "ann", "admin") as browser, psycopg.connect(database_url) as connection:
        job_id = scan(browser, engine, ("a", PNG, {}), ("b", PNG + b"2", STEGO), ("c", b"", failed))
        sha256 = read_page(browser.get(f"/page/jobs/{job_id}/verdicts/1")).read_facts()["SHA-256"]
        known = {"job": job_id, "sha256": sha256, "since": "2026-01-01", "model": "v4-0", "submitter": "ann"}
        for address, query in questions:
            asked = VARIABLE.sub(r"%(\1)s", query.replace("%", "%%"))
            answered = connection.execute(asked.encode(), known).fetchall()
            for name, value in known.items():
                address = address.replace(name.upper(), value)
            page = read_page(browser.get(address))

            assert answered, query
            if address.startswith("/page/verdicts"):
                assert len(page.read_rows()) == len(answered), address
                compared += 1
    assert (len(questions), compared) == (10, 5)

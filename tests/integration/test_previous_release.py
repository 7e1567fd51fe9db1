"""Commands of the previous release on the schema of this code; `scripts/try_previous_release` runs its programs too."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from research.previous_release import HistoryMissingError, Release, extract_release
from tests.kit.rows import finish_waiting_chunks


@pytest.fixture
def previous(database_url: str, redis_url: str, tmp_path: Path) -> Release:
    try:
        extract_release(tmp_path / "release")
    except HistoryMissingError as error:
        pytest.skip(str(error))
    environment = {"STARLIGHT_DATABASE_URL": database_url, "STARLIGHT_REDIS_URL": redis_url}
    return Release("previous", tmp_path / "release", {**environment, "STARLIGHT_DATA_DIR": str(tmp_path / "data")})


def test_the_previous_release_submits_and_reads_on_this_schema(previous: Release, engine: Engine) -> None:
    names = "".join(f"https://example.org/{number}.png\n" for number in range(5))

    job_id = previous.run("submit", "-", stdin=names)
    finish_waiting_chunks(engine)

    assert "5" in previous.run("audit", job_id)
    verdicts = [
        json.loads(line) for line in previous.run("verdicts", "--job", job_id, "--format", "ndjson").splitlines()
    ]
    assert [verdict["outcome"] for verdict in verdicts] == ["clean"] * 5

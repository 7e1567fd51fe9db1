"""Bytes that would fill the disk: those of refused requests, of one key, and of all keys."""

import base64
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from producer.dispatching.sweeper import Sweeper
from storage.blobs import Blobs
from storage.settings import Settings
from tests.attacks.conftest import ServedApi
from tests.kit.archives import pack_zip
from tests.kit.folders import list_stored_files
from tests.kit.pictures import encode_pattern
from tests.kit.rows import submit_job_of

PNG = encode_pattern("PNG")
MAX_STORED = 10_000
MAX_MEMBERS = 600
FULL = {"min_free_bytes": 2**62}
BATCH = {"items": [{"type": "image", "image_data": base64.b64encode(PNG).decode()}]}
ZIP = {"Content-Type": "application/zip"}


@pytest.fixture(scope="module")
def limits(request: pytest.FixtureRequest) -> dict[str, object]:
    given: dict[str, object] = getattr(request, "param", {})
    return {"max_stored_bytes_per_key": MAX_STORED, "max_archive_members": MAX_MEMBERS, **given}


def sweep(engine: Engine, data_dir: Path) -> int:
    """Delete the blobs that nobody needs, as a dispatcher does; return their number."""
    settings = Settings(data_dir=data_dir)
    return Sweeper(engine, Blobs(settings.blobs()), settings).sweep()


def test_an_archive_that_is_refused_leaves_no_member_behind(served: ServedApi) -> None:
    # Only the last member exceeds the stored bytes of the key.
    members = {f"{number}": bytes([number % 256, number // 256]) for number in range(300)}
    body = pack_zip({**members, "last": b"x" * MAX_STORED})

    with served.connect() as client:
        refused = client.post("/v1/jobs", content=body, headers=ZIP)

    assert refused.status_code == 413, refused.text
    assert f"the limit is {MAX_STORED:,}" in refused.json()["detail"]
    sweep(served.engine, served.data_dir)
    assert list_stored_files(served.data_dir) == []


def test_a_key_stores_no_more_than_its_share(served: ServedApi) -> None:
    images = [bytes([number]) * 3000 for number in range(4)]
    with served.connect() as client:
        answers = [client.post("/v1/jobs", files={"image": ("image.png", image)}) for image in images]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 413]
    sweep(served.engine, served.data_dir)
    assert sum(path.stat().st_size for path in list_stored_files(served.data_dir)) == 9000


@pytest.mark.parametrize("limits", [FULL], indirect=True)
@pytest.mark.parametrize(
    ("route", "request_of"),
    [
        ("/v1/jobs", {"files": {"image": ("image.png", PNG)}}),
        ("/v1/jobs", {"content": pack_zip({"image.png": PNG}), "headers": ZIP}),
        ("/scan/image", {"files": {"image": ("image.png", PNG)}}),
        ("/scan/batch", {"json": BATCH}),
    ],
)
def test_a_full_disk_stops_uploads_and_nothing_else(served: ServedApi, route: str, request_of: dict[str, Any]) -> None:
    job_id = submit_job_of(served.engine, 4, submitter="ann")

    with served.connect() as client:
        refused = client.post(route, **request_of)
        assert (refused.status_code, refused.headers.get("retry-after")) == (507, "60"), refused.text
        assert "STARLIGHT_MIN_FREE_BYTES" in refused.json()["detail"]
        assert client.get(f"/v1/jobs/{job_id}").status_code == 200
        references = {"references": ["https://example.com/1.png"]}
        assert client.post("/v1/jobs", json=references).status_code == 202

    assert list_stored_files(served.data_dir) == []

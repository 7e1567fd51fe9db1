"""Images of refused requests: nothing of them is stored."""

import base64
from typing import Any

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from storage.settings import Settings
from tests.kit.api import read_problem
from tests.kit.folders import list_stored_files
from tests.kit.pictures import encode_pattern
from tests.kit.rows import submit_job_of

IMAGE = encode_pattern("PNG")
FORM = {"files": {"image": ("image.png", IMAGE)}}
BATCH = {"json": {"items": [{"type": "image", "image_data": base64.b64encode(IMAGE).decode()}]}}


@pytest.mark.parametrize(
    ("route", "request_of"),
    [
        ("/scan/image", {**FORM, "data": {"confidence_threshold": "much"}}),
        ("/scan/image", {**FORM, "data": {"extract_message": "perhaps"}}),
        ("/scan/image", {**FORM, "data": {"include_metadata": "perhaps"}}),
        ("/inscribe", {**FORM, "data": {"message": "a wish", "method": "magic"}}),
        ("/inscribe", FORM),
        ("/scan/batch", {"json": {"items": [*BATCH["json"]["items"], {"type": "image", "image_data": "no Base64"}]}}),
        ("/v1/jobs", {**FORM, "data": {"threshold": "2"}}),
        ("/v1/jobs", {**FORM, "data": {"webhook": "https://example.com/"}}),
    ],
)
def test_an_image_beside_a_wrong_field_is_not_stored(
    ann: TestClient, api_settings: Settings, route: str, request_of: dict[str, Any]
) -> None:
    with ann:
        read_problem(ann.post(route, **request_of), 422)

    assert list_stored_files(api_settings.data_dir) == []


@pytest.mark.parametrize(
    ("route", "request_of"), [("/scan/image", FORM), ("/extract", FORM), ("/scan/batch", BATCH), ("/v1/jobs", FORM)]
)
def test_an_image_beyond_the_quota_is_not_stored(
    engine: Engine, ann: TestClient, api_settings: Settings, route: str, request_of: dict[str, Any]
) -> None:
    submit_job_of(engine, api_settings.max_waiting_images_per_key, submitter="ann")

    with ann:
        read_problem(ann.post(route, **request_of), 429)

    assert list_stored_files(api_settings.data_dir) == []

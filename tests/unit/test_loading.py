"""Loading references: blobs, and the error code of what is not there or of an unsupported kind."""

import os
from pathlib import Path

import pytest

from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from tests.kit.loading import LIMIT, BytesLoader, get_refusal
from tests.kit.object_store import ObjectStore


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


@pytest.fixture
def loader(blobs: Blobs) -> BytesLoader:
    return BytesLoader(blobs, LIMIT)


def test_an_object_store_that_answers_503_may_answer_later(object_store: ObjectStore) -> None:
    blobs = Blobs(object_store.url)
    digest = blobs.put(b"bytes")
    loader = BytesLoader(blobs, LIMIT)
    assert loader.load(f"blob://{digest}/name") == b"bytes"

    object_store.answers = False
    error = get_refusal(loader, f"blob://{digest}/name")
    object_store.answers = True

    assert error.code == ErrorCode.UNAVAILABLE
    assert "503" in error.detail
    assert get_refusal(loader, f"blob://{'0' * 64}/name").code == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("size", [1, LIMIT - 1, LIMIT])
def test_a_blob_up_to_the_limit_is_read_whole(loader: BytesLoader, blobs: Blobs, size: int) -> None:
    data = os.urandom(size)

    assert loader.load(f"blob://{blobs.put(data)}/archive.zip/image") == data


@pytest.mark.parametrize(("size", "code"), [(0, ErrorCode.EMPTY), (LIMIT + 1, ErrorCode.TOO_LARGE)])
def test_a_blob_is_bounded_as_a_file_is(loader: BytesLoader, blobs: Blobs, size: int, code: ErrorCode) -> None:
    assert get_refusal(loader, f"blob://{blobs.put(bytes(size))}/name").code == code


@pytest.mark.parametrize(
    "digest",
    [
        "0" * 64,
        "0",
        "not-hex",
        "%2e%2e",
        "user@host:80",
        "a%00b",
        "",
        "..",
        ".",
    ],
)
def test_a_blob_that_is_not_there_is_not_found(loader: BytesLoader, digest: str) -> None:
    assert get_refusal(loader, f"blob://{digest}/name").code == ErrorCode.NOT_FOUND


def test_a_member_that_could_not_be_read_is_named(loader: BytesLoader) -> None:
    error = get_refusal(loader, "file:///archive.zip#folder/%C3%BC%20image.png")

    assert error.code == ErrorCode.BAD_ARCHIVE_MEMBER
    assert "folder/ü image.png" in error.detail


@pytest.mark.parametrize(
    "uri",
    [
        "gopher://host/key",
        "s3://bucket/x%00",
        "s3://bucket/%2e%2e/x",
        "s3://bucket/a//b",
        "s3://../x",
        "s3:///x",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "file:///x?y",
        "s3://user@bucket/x",
        "s3://bucket:9/x",
        "s3://Bucket/x",
        "https://host/image.png",
        "data:image/png,x",
        "/an/absolute/path",
        "",
        "::",
        "http://[",
        "http://]:x/",
    ],
)
def test_references_of_other_kinds_are_unsupported(loader: BytesLoader, uri: str) -> None:
    assert get_refusal(loader, uri).code == ErrorCode.UNSUPPORTED_URI

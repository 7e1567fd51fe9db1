"""`starlight submit --server`: sources that the server lists, and sources that need separate jobs."""

import sys
from collections.abc import Iterator
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from producer.cli.errors import UsageError
from producer.cli.remote import Remote, open_remote
from producer.cli.submitting import Chosen, choose, choose_names
from starlight_vocabulary.job import JobOptions, JobSources
from storage.keys import create_key
from storage.listings import claim_listing


@pytest.fixture
def remote(engine: Engine, address: str) -> Iterator[Remote]:
    with open_remote(address, create_key(engine, "ann", ["submit", "read"], ["s3://bucket"])) as opened:
        yield opened


def choose_of(paths: list[str], **options: Any) -> Chosen:
    usual: dict[str, Any] = {"since": None, "in_place": False, "null": False, "manifest": None, "column": None}
    return choose(paths, choose_names(["*.png"], None), **{**usual, **options})


def test_prefixes_archives_and_manifests_in_buckets_are_sources(engine: Engine, remote: Remote) -> None:
    paths = ["s3://bucket/p q/", "s3://bucket/x.tar"]

    remote.submit(paths, JobOptions(), choose_of(paths, manifest=["s3://bucket/m.csv"], column="where"))

    listing = claim_listing(engine)
    assert listing is not None
    assert listing.sources == JobSources(
        uris=["s3://bucket/p%20q/", "s3://bucket/x.tar"],
        manifests=["s3://bucket/m.csv"],
        column="where",
        include=["*.png"],
    )


def test_manifests_and_lists_of_this_machine_are_read_here(
    engine: Engine, remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("where\nhttps://example.com/1.png\nhttps://example.com/1.txt\n")
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"s3://bucket/2.png\nhttps://example.com/3.png\n")))

    remote.submit(["-"], JobOptions(), choose_of(["-"], manifest=[str(manifest)], column="where"))

    with engine.connect() as connection:
        refs = connection.execute(text("SELECT refs FROM chunks")).scalar_one()
    assert refs == ["s3://bucket/2.png", "https://example.com/3.png", "https://example.com/1.png"]


WRONG: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "with an address": (["s3://bucket/p/", "https://example.com/1.png"], {}, "need separate jobs"),
    "of an object": (["s3://bucket/1.png"], {"since": "00000000-0000-7000-8000-000000000000"}, "need separate jobs"),
    "with a manifest here": (["s3://bucket/p/"], {"manifest": [__file__]}, "need separate jobs"),
    "no id": (["s3://bucket/p/"], {"since": "yesterday"}, "is not a job id"),
    "no job": (["s3://bucket/p/"], {"since": "00000000-0000-7000-8000-000000000000"}, "404"),
    "another's": (["s3://other/"], {}, "is outside the buckets of this key"),
    "in place": ([__file__], {"in_place": True}, "--in-place cannot be used"),
}


def test_what_cannot_be_is_told_in_one_line(engine: Engine, address: str) -> None:
    key = create_key(engine, "bob", ["submit", "read"], ["s3://bucket"])
    for what, (paths, options, reason) in WRONG.items():
        with pytest.raises(UsageError) as refusal, open_remote(address, key) as opened:
            opened.submit(paths, JobOptions(), choose_of(paths, **options))
        assert reason in str(refusal.value), what

"""Manifests: tables with a column of URIs or images."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from producer.sources.errors import SourceError
from producer.sources.expansion import Sources, format_reference
from producer.sources.selection import Selection
from storage.blobs import Blobs
from storage.settings import Settings
from tests.kit.loading import BytesLoader
from tests.kit.object_store import ObjectStore

URIS = ["s3://bucket/a b.png", "https://host/\u00fc?x=1,2", 'https://host/"quoted".png']
REFERENCES = ["s3://bucket/a%20b.png", "https://host/%C3%BC?x=1,2", "https://host/%22quoted%22.png"]


def make_csv(uris: list[str], column: str = "uri") -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([["id", column], *([number, uri] for number, uri in enumerate(uris))])
    return text.getvalue().encode()


def make_ndjson(uris: list[str], column: str = "uri") -> bytes:
    return "".join(json.dumps({"id": 1, column: uri}) + "\n" for uri in uris).encode()


def make_parquet(column: Any, name: str = "uri") -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(column))), name: column}), stream, row_group_size=2)
    return stream.getvalue()


MANIFESTS = {
    "m.csv": make_csv(URIS),
    "bom.csv": b"\xef\xbb\xbf" + make_csv(URIS),
    "crlf.csv.gz": gzip.compress(make_csv([*URIS, ""])),
    "m.ndjson": make_ndjson(URIS),
    "m.jsonl.gz": gzip.compress(make_ndjson(URIS) + b'\n{"uri": null}\n'),
    "m.parquet": make_parquet([*URIS, None]),
    "dictionary.parquet": make_parquet(pa.array(URIS).dictionary_encode()),
    "any-name": make_ndjson(URIS),
}


def make_inventory(kind: str) -> bytes:
    told = {"destinationBucket": "arn:aws:s3:::bucket", "fileFormat": kind, "fileSchema": "Size", "files": []}
    return json.dumps(told).encode()


def read(sources: Sources, name: str, column: str | None = None, stdin: bytes = b"") -> list[str]:
    return list(sources.from_manifest(name, column, io.BufferedReader(io.BytesIO(stdin))))


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize("remote", [False, True])
def test_each_row_is_a_reference(
    folder: Path, object_store: ObjectStore, sources: Sources, name: str, remote: bool
) -> None:
    (folder / name).write_bytes(MANIFESTS[name])
    object_store.objects[f"/bucket/{name}"] = MANIFESTS[name]

    assert read(sources, f"s3://bucket/{name}" if remote else str(folder / name), "uri") == REFERENCES


@pytest.mark.parametrize("name", [name for name in MANIFESTS if "parquet" not in name])
def test_a_manifest_may_come_through_a_pipe(folder: Path, sources: Sources, name: str) -> None:
    assert read(sources, "-", "uri", MANIFESTS[name]) == REFERENCES


def test_a_column_that_is_called_as_they_are_needs_no_name(folder: Path, sources: Sources) -> None:
    assert read(sources, "-", None, make_csv(URIS, "URL")) == REFERENCES
    with pytest.raises(SourceError, match="choose one with --column"):
        read(sources, "-", None, make_csv(URIS, "where"))


def test_a_row_may_be_a_path(folder: Path, sources: Sources) -> None:
    assert read(sources, "-", "uri", b"uri\na.png\n/b.png\n") == [(folder / "a.png").as_uri(), "file:///b.png"]


@pytest.mark.parametrize("remote", [False, True])
def test_images_in_a_table_are_stored(
    folder: Path, object_store: ObjectStore, sources: Sources, loader: BytesLoader, remote: bool
) -> None:
    data = make_parquet(
        [{"bytes": b"first", "path": "a/1.png"}, {"bytes": None, "path": "s3://bucket/2.png"}, None,
         {"bytes": b"third" * 100, "path": None}],
        "image",
    )  # fmt: skip
    (folder / "train.parquet").write_bytes(data)
    object_store.objects["/bucket/train.parquet"] = data

    first, second, third = read(sources, "s3://bucket/train.parquet" if remote else "train.parquet")

    assert (loader.load(first), second, loader.load(third)) == (b"first", "s3://bucket/2.png", b"third" * 100)
    assert format_reference(first) == "train.parquet/a/1.png"


def test_a_column_of_bytes_has_images(folder: Path, sources: Sources, loader: BytesLoader) -> None:
    (folder / "a.parquet").write_bytes(make_parquet([b"one", b"", bytes(200_000)], "png"))

    assert [loader.load(uri) for uri in read(sources, "a.parquet", "png")[:1]] == [b"one"]
    assert len(read(sources, "a.parquet", "png")) == 3


def store_inventory(store: ObjectStore, kind: str, name: str, data: bytes, schema: str = "as the file says") -> str:
    """Store an inventory of one file; return the URI of its manifest."""
    store.objects[f"/bucket/data/{name}"] = data
    told = {
        "sourceBucket": "bucket", "destinationBucket": "arn:aws:s3:::bucket", "fileFormat": kind, "fileSchema": schema,
        "files": [{"key": f"data/{name}", "size": len(data)}],
    }  # fmt: skip
    store.objects["/bucket/inventory/manifest.json"] = json.dumps(told).encode()
    return "s3://bucket/inventory/manifest.json"


def write_table(kind: str, columns: dict[str, list[Any]]) -> bytes:
    stream = io.BytesIO()
    if kind == "ORC":
        orc.write_table(pa.table(columns), stream)
    else:
        pq.write_table(pa.table(columns), stream, row_group_size=2)
    return stream.getvalue()


def test_an_inventory_of_s3_is_read_through(object_store: ObjectStore, sources: Sources) -> None:
    rows = b'"bucket","a+b%2B.png","true","false"\n"bucket","old.png","false","false"\n"bucket","gone","true","true"\n'
    schema = "Bucket, Key, IsLatest, IsDeleteMarker"

    manifest = store_inventory(object_store, "CSV", "1.csv.gz", gzip.compress(rows), schema)

    assert read(sources, manifest) == ["s3://bucket/a%20b%2B.png"]


@pytest.mark.parametrize("kind", ["Parquet", "ORC"])
def test_inventories_of_s3_as_tables_are_read_through(object_store: ObjectStore, sources: Sources, kind: str) -> None:
    columns: dict[str, list[Any]] = {
        "bucket": ["bucket"] * 4,
        "key": ["a+b%2B \u00fc.png", "old.png", "gone", "c.png"],
        "size": [1, 2, 3, 4],
        "is_latest": [True, False, True, None],
        "is_delete_marker": [False, False, True, None],
    }
    listed = ["s3://bucket/a%2Bb%252B%20%C3%BC.png", "s3://bucket/c.png"]

    manifest = store_inventory(object_store, kind, "1.data", write_table(kind, columns))
    assert read(sources, manifest) == listed

    # The inventory of a bucket without versioning.
    less = write_table(kind, {name: columns[name] for name in ("size", "key", "bucket")})
    assert len(read(sources, store_inventory(object_store, kind, "1.data", less))) == 4


def test_what_is_no_file_of_an_inventory_is_an_error_for_the_person(
    object_store: ObjectStore, sources: Sources
) -> None:
    for kind, data, reason in (
        ("Parquet", b"garbage" * 1000, "cannot be read as Parquet"),
        ("ORC", write_table("ORC", {"bucket": ["b"] * 9, "key": ["a"] * 9})[:-9], "cannot be read as ORC"),
        ("ORC", write_table("ORC", {"key": ["a"]}), "lacks the columns bucket and key; it has 'key'"),
    ):
        with pytest.raises(SourceError, match="manifest 's3://bucket/data/1'") as refusal:
            read(sources, store_inventory(object_store, kind, "1", data))
        assert reason in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("m.csv", make_csv(URIS, "where"), "has no column 'uri'; it has 'id', 'where'"),
        ("m.ndjson", make_ndjson(URIS, "where"), "has no column 'uri'; it has 'id', 'where'"),
        ("m.parquet", make_parquet(URIS, "where"), "has no column 'uri'; it has 'id', 'where'"),
        ("m.parquet", make_parquet([1, 2]), "has neither URIs nor images in the column 'uri'; its type is int64"),
        ("m.parquet", b"garbage" * 1000, "cannot be read as Parquet"),
        ("m.parquet", make_parquet(URIS)[:-30], "cannot be read as Parquet"),
        ("m.csv", b"", "names no columns in its first line"),
        ("m.csv", b"uri,id,uri\ns3://bucket/a,1,s3://bucket/b\n", "has the column 'uri' more than once"),
        ("m.csv", bytes(2**20), "has more than 1,048,576 bytes in line 1"),
        ("m.csv", b"uri\n" + b'"' + b"a\n" * 100_000, "is not valid CSV in line"),
        ("m.csv", b"\x1f\x8bgarbage", "cannot be read"),
        ("m.csv.gz", gzip.compress(make_csv(URIS * 100))[:-50], "cannot be read after line"),
        ("m.ndjson", b'{"uri": "s3://bucket/a"}\nnone\n', "is not valid JSON in line 2"),
        ("m.ndjson", b"[" * 100_000, "is not valid JSON in line 1"),
        ("m.ndjson", b"[1]\n", "has no JSON object in line 1"),
        ("m.ndjson", b'{"uri": 1}\n', "has no string under 'uri' in line 1"),
        ("manifest.json", b"{}", "is not an inventory of S3"),
        ("manifest.json", b"garbage", "is not an inventory of S3"),
        ("manifest.json", b"[" * 100_000, "is not an inventory of S3"),
        ("manifest.json", make_inventory("XML"), "is an inventory in the format 'XML': configure S3 for CSV, Parquet"),
        ("manifest.json", make_inventory("CSV"), "is an inventory without the columns Bucket and Key"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_an_error_for_the_person(
    folder: Path, sources: Sources, name: str, data: bytes, reason: str
) -> None:
    (folder / name).write_bytes(data)

    with pytest.raises(SourceError) as refusal:
        read(sources, name, "uri")

    assert f"the manifest {name!r} {reason}" in str(refusal.value)


@pytest.mark.parametrize(
    "name", ["missing.csv", "missing.parquet", "s3://bucket/missing.csv", "s3://bucket/no.parquet"]
)
def test_a_manifest_that_is_not_there_is_an_error_for_the_person(
    object_store: ObjectStore, sources: Sources, name: str
) -> None:
    object_store.objects["/bucket/x"] = b""

    with pytest.raises(SourceError, match=r"cannot be read: No such file|does not exist"):
        read(sources, name, "uri")


def test_patterns_choose_rows(blobs: Blobs, settings: Settings) -> None:
    sources = Sources(blobs, settings, Selection(("*.png",)))

    assert read(sources, "-", "uri", make_csv(URIS)) == [REFERENCES[0], REFERENCES[2]]

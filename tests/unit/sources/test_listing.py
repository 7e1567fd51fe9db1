"""A prefix of a bucket expands to the objects below it."""

from urllib.parse import quote

import pytest

from producer.sources.errors import SourceAwayError, SourceError
from producer.sources.expansion import Sources
from producer.sources.known_versions import KnownVersions
from producer.sources.selection import Selection
from storage.blobs import Blobs
from storage.settings import Settings
from storage.submission import ListedObject
from tests.kit.loading import BytesLoader
from tests.kit.names import expand
from tests.kit.object_store import ObjectStore

KEYS = ["p/[x].png", "p/a.png", "p/b c.png", "p/d#e?.png", "p/deep/er/f.jpg", "p/g+h&i=.png", "p/\u00fc%20.png"]


@pytest.fixture
def stored(object_store: ObjectStore) -> ObjectStore:
    """A store with these keys, whose objects contain their own names, and an object outside the prefix."""
    object_store.page_size = 3
    for key in [*KEYS, "pq/beside.png"]:
        object_store.objects[f"/bucket/{quote(key)}"] = key.encode()
    return object_store


def refer(*keys: str, scheme: str = "s3") -> list[str]:
    return [f"{scheme}://bucket/{quote(key)}" for key in keys]


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_all_below_a_prefix_is_named_and_can_be_read(
    stored: ObjectStore, sources: Sources, loader: BytesLoader, scheme: str
) -> None:
    found = expand(sources, f"{scheme}://bucket/p/")

    assert found == refer(*KEYS, scheme=scheme)
    assert [loader.load(uri) for uri in found] == [key.encode() for key in KEYS]


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/"])
def test_a_bucket_alone_stands_for_all_in_it(stored: ObjectStore, sources: Sources, uri: str) -> None:
    assert expand(sources, uri) == refer(*KEYS, "pq/beside.png")
    assert expand(sources, "-", stdin=uri.encode()) == refer(*KEYS, "pq/beside.png")


def test_without_a_slash_it_is_an_object(stored: ObjectStore, sources: Sources) -> None:
    assert expand(sources, "s3://bucket/p") == ["s3://bucket/p"]
    assert stored.listings == 0


def test_what_stands_for_a_folder_is_left_out(stored: ObjectStore, sources: Sources) -> None:
    stored.objects["/bucket/p/"] = stored.objects["/bucket/p/deep/"] = stored.objects["/bucket/p/deep/er/"] = b""
    stored.objects["/bucket/p/empty.png"] = b""

    assert sorted(expand(sources, "s3://bucket/p/")) == sorted(refer(*KEYS, "p/empty.png"))


def test_a_listing_is_read_no_further_than_it_is_asked_for(stored: ObjectStore, sources: Sources) -> None:
    stored.page_size = 200
    stored.objects |= {f"/bucket/p/{number:04}": b"x" for number in range(4000)}

    next(iter(sources.from_arguments(["s3://bucket/p/"], stdin=None)))  # type: ignore[arg-type]

    # A page of a thousand objects, and the next page, which is requested meanwhile.
    assert stored.listings <= 10


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.png"], [], [*KEYS[:4], *KEYS[5:]]),
        (["*.jpg"], [], [KEYS[4]]),
        ([], ["*.png"], [KEYS[4]]),
        (["deep/*"], [], [KEYS[4]]),
        (["p/*"], [], []),
        (["[ab]*"], ["b*"], ["p/a.png"]),
    ],
)
def test_patterns_choose_below_what_is_named(
    stored: ObjectStore, blobs: Blobs, settings: Settings, include: list[str], exclude: list[str], expected: list[str]
) -> None:
    sources = Sources(blobs, settings, Selection(include, exclude))

    assert expand(sources, "s3://bucket/p/") == refer(*expected)


def test_what_is_known_in_its_version_is_left_out(stored: ObjectStore, blobs: Blobs, settings: Settings) -> None:
    found = list(Sources(blobs, settings).from_arguments(["s3://bucket/p/"], stdin=None))  # type: ignore[arg-type]
    listed = [each for each in found if isinstance(each, ListedObject)]
    stored.objects["/bucket/p/a.png"] = b"changed"
    stored.objects["/bucket/p/new.png"] = b"new"

    sources = Sources(blobs, settings, known=KnownVersions(listed))

    assert len(listed) == len(KEYS)
    assert expand(sources, "s3://bucket/p/") == refer("p/a.png", "p/new.png")
    with pytest.raises(SourceError, match="is not one"):
        expand(sources, "s3://bucket/p/a.png")
    with pytest.raises(SourceError, match="is not one"):
        expand(sources, str(settings.data_dir))


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://nowhere/p/", "there is no bucket s3://nowhere"),
        ("s3://B/p/", "'B' is not a valid bucket name"),
        ("az://a--b/p/", "'a--b' is not a valid bucket name"),
        ("s3://bucket/a/../", "is not a valid object name"),
    ],
)
def test_a_bucket_that_cannot_be_listed_is_an_error_for_the_person(
    stored: ObjectStore, sources: Sources, uri: str, reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        expand(sources, uri)


def test_a_key_that_has_no_path_is_an_error_for_the_person(stored: ObjectStore, sources: Sources) -> None:
    stored.objects["/bucket/p//x.png"] = b"x"

    with pytest.raises(SourceError, match="cannot be listed"):
        expand(sources, "s3://bucket/p/")


def test_a_store_that_does_not_answer_may_do_so_later(stored: ObjectStore, sources: Sources) -> None:
    stored.answers = False

    with pytest.raises(SourceAwayError, match="does not answer: 503"):
        expand(sources, "s3://bucket/p/")

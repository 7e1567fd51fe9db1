"""Loading references: the bytes, or the error code of each reference that cannot be loaded."""

import os
import resource
import socket
from pathlib import Path

import pytest

from producer.sources.expansion import refer_to_file
from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from tests.kit.loading import BytesLoader
from tests.kit.object_store import ObjectStore
from tests.kit.threads import PATIENCE_S, start_thread
from tests.kit.users import become_ordinary_user
from worker.scanning.image_error import ImageError

LIMIT = 100_000


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


@pytest.fixture
def loader(blobs: Blobs) -> BytesLoader:
    return BytesLoader(blobs, LIMIT)


def reference(path: Path | str) -> str:
    return refer_to_file(os.fsencode(path))


def refused(loader: BytesLoader, uri: str) -> ImageError:
    """Return the error of the reference; fails after a timeout."""
    error = start_thread(loader.load, uri).exception(PATIENCE_S)
    assert isinstance(error, ImageError), f"{uri}: {error!r}"
    return error


@pytest.mark.parametrize("size", [1, 65_536, 65_537, LIMIT - 1, LIMIT])
def test_a_file_up_to_the_limit_is_read_whole(loader: BytesLoader, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "image"
    path.write_bytes(data)

    assert loader.load(reference(path)) == data


def test_a_link_to_a_file_is_read_as_the_file(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("image")

    assert loader.load(reference(tmp_path / "link")) == b"bytes"


def test_a_file_that_hides_its_size_is_read_to_its_end(loader: BytesLoader) -> None:
    assert Path("/proc/self/status").stat().st_size == 0

    assert loader.load("file:///proc/self/status").startswith(b"Name:")


def test_a_file_that_hides_its_size_is_refused_beyond_the_limit(blobs: Blobs) -> None:
    error = refused(BytesLoader(blobs, 16), "file:///proc/self/status")

    assert error.code == ErrorCode.TOO_LARGE
    assert "16" in error.detail


@pytest.mark.parametrize("size", [LIMIT + 1, 2**40])
def test_a_larger_file_is_too_large(loader: BytesLoader, tmp_path: Path, size: int) -> None:
    path = tmp_path / "image"
    with path.open("wb") as stream:
        stream.truncate(size)

    error = refused(loader, reference(path))

    assert error.code == ErrorCode.TOO_LARGE
    assert f"{size:,}" in error.detail
    assert f"{LIMIT:,}" in error.detail


def test_an_empty_file_is_empty(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").touch()

    assert refused(loader, reference(tmp_path / "image")).code == ErrorCode.EMPTY


def test_a_file_that_vanished_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"bytes")
    uri = reference(path)
    path.unlink()

    assert refused(loader, uri).code == ErrorCode.NOT_FOUND


def test_a_name_below_a_file_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")

    assert refused(loader, reference(tmp_path / "image" / "below")).code == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("uri", ["file:///a%00b", "file://", "file:///%ff%fe"])
def test_a_name_that_no_file_has_is_not_found(loader: BytesLoader, uri: str) -> None:
    assert refused(loader, uri).code == ErrorCode.NOT_FOUND


def test_a_lost_link_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")

    assert refused(loader, reference(tmp_path / "link")).code == ErrorCode.NOT_FOUND


def test_a_file_without_permission_is_not_readable(loader: BytesLoader, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"bytes")
    path.chmod(0)

    with become_ordinary_user():
        error = refused(loader, reference(path))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, "Permission denied")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/" + "n" * 256, "File name too long"),
        ("/n" * 2048, "File name too long"),
    ],
)
def test_what_the_system_does_not_read_is_not_readable(loader: BytesLoader, path: str, reason: str) -> None:
    error = refused(loader, reference(path))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, reason)


def test_a_disk_that_does_not_answer_may_answer_later(loader: BytesLoader) -> None:
    error = refused(loader, "file:///proc/self/mem")

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "Input/output error")


def test_too_many_open_files_are_no_fault_of_the_image(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        error = refused(loader, reference(tmp_path / "image"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "Too many open files")


def test_an_object_store_that_answers_503_may_answer_later(object_store: ObjectStore) -> None:
    blobs = Blobs(object_store.url)
    digest = blobs.put(b"bytes")
    loader = BytesLoader(blobs, LIMIT)
    assert loader.load(f"blob://{digest}/name") == b"bytes"

    object_store.answers = False
    error = refused(loader, f"blob://{digest}/name")
    object_store.answers = True

    assert error.code == ErrorCode.UNAVAILABLE
    assert "503" in error.detail
    assert refused(loader, f"blob://{'0' * 64}/name").code == ErrorCode.NOT_FOUND


def test_a_link_to_itself_is_not_readable(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")

    error = refused(loader, reference(tmp_path / "link"))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, "Too many levels of symbolic links")


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_around_it_is_a_directory_loop(loader: BytesLoader, tmp_path: Path, target: str) -> None:
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "loop").symlink_to(target)

    assert refused(loader, reference(folder / "loop")).code == ErrorCode.DIRECTORY_LOOP


def test_a_directory_loop_is_one_however_often_it_was_followed(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(".")

    assert refused(loader, reference(tmp_path / "loop" / "loop" / "loop")).code == ErrorCode.DIRECTORY_LOOP


def test_a_folder_is_not_a_file(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder-beside").mkdir()
    (tmp_path / "folder-beside" / "link").symlink_to("../folder")

    for path in (tmp_path / "folder", tmp_path / "folder-beside" / "link", Path("/")):
        assert refused(loader, reference(path)).code == ErrorCode.NOT_A_FILE


def test_a_pipe_is_not_a_file(loader: BytesLoader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert refused(loader, reference(tmp_path / "pipe")).code == ErrorCode.NOT_A_FILE


def test_a_socket_is_not_a_file(loader: BytesLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        # A relative path, since a socket's path is limited to about a hundred bytes.
        listening.bind("socket")

        assert refused(loader, reference(tmp_path / "socket")).code == ErrorCode.NOT_A_FILE


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/random", "/dev/full"])
def test_a_device_is_not_a_file(loader: BytesLoader, device: str) -> None:
    assert refused(loader, reference(device)).code == ErrorCode.NOT_A_FILE


def test_a_terminal_is_not_a_file(loader: BytesLoader) -> None:
    controller, terminal = os.openpty()
    try:
        assert refused(loader, reference(os.ttyname(terminal))).code == ErrorCode.NOT_A_FILE
    finally:
        os.close(controller)
        os.close(terminal)


def test_refused_files_do_not_stay_open(loader: BytesLoader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes(LIMIT + 1))
    paths: list[Path | str] = [
        tmp_path,
        tmp_path / "pipe",
        tmp_path / "empty",
        tmp_path / "large",
        "/dev/null",
        "/proc/self/mem",
    ]
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a snapshot

    for _ in range(20):
        for path in paths:
            refused(loader, reference(path))

    # There are fewer if connections of earlier tests were closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


@pytest.mark.parametrize("size", [1, LIMIT - 1, LIMIT])
def test_a_blob_up_to_the_limit_is_read_whole(loader: BytesLoader, blobs: Blobs, size: int) -> None:
    data = os.urandom(size)

    assert loader.load(f"blob://{blobs.put(data)}/archive.zip/image") == data


@pytest.mark.parametrize(("size", "code"), [(0, ErrorCode.EMPTY), (LIMIT + 1, ErrorCode.TOO_LARGE)])
def test_a_blob_is_bounded_as_a_file_is(loader: BytesLoader, blobs: Blobs, size: int, code: ErrorCode) -> None:
    assert refused(loader, f"blob://{blobs.put(bytes(size))}/name").code == code


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
    assert refused(loader, f"blob://{digest}/name").code == ErrorCode.NOT_FOUND


def test_a_member_that_could_not_be_read_is_named(loader: BytesLoader) -> None:
    error = refused(loader, "file:///archive.zip#folder/%C3%BC%20image.png")

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
    assert refused(loader, uri).code == ErrorCode.UNSUPPORTED_URI

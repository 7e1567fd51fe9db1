"""Loading files: the bytes, or the error code of what is missing, unreadable, too large or no file."""

import os
import resource
import socket
from pathlib import Path

import pytest

from starlight_vocabulary.words import ErrorCode
from storage.blobs import Blobs
from tests.kit.loading import LIMIT, BytesLoader, get_refusal, refer_to
from tests.kit.users import become_ordinary_user


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs((tmp_path / "blobs").as_uri())


@pytest.fixture
def loader(blobs: Blobs) -> BytesLoader:
    return BytesLoader(blobs, LIMIT)


@pytest.mark.parametrize("size", [1, 65_536, 65_537, LIMIT - 1, LIMIT])
def test_a_file_up_to_the_limit_is_read_whole(loader: BytesLoader, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "image"
    path.write_bytes(data)

    assert loader.load(refer_to(path)) == data


def test_a_link_to_a_file_is_read_as_the_file(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")
    (tmp_path / "link").symlink_to("image")

    assert loader.load(refer_to(tmp_path / "link")) == b"bytes"


def test_a_file_that_hides_its_size_is_read_to_its_end(loader: BytesLoader) -> None:
    assert Path("/proc/self/status").stat().st_size == 0

    assert loader.load("file:///proc/self/status").startswith(b"Name:")


def test_a_file_that_hides_its_size_is_refused_beyond_the_limit(blobs: Blobs) -> None:
    error = get_refusal(BytesLoader(blobs, 16), "file:///proc/self/status")

    assert error.code == ErrorCode.TOO_LARGE
    assert "16" in error.detail


@pytest.mark.parametrize("size", [LIMIT + 1, 2**40])
def test_a_larger_file_is_too_large(loader: BytesLoader, tmp_path: Path, size: int) -> None:
    path = tmp_path / "image"
    with path.open("wb") as stream:
        stream.truncate(size)

    error = get_refusal(loader, refer_to(path))

    assert error.code == ErrorCode.TOO_LARGE
    assert f"{size:,}" in error.detail
    assert f"{LIMIT:,}" in error.detail


def test_an_empty_file_is_empty(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").touch()

    assert get_refusal(loader, refer_to(tmp_path / "image")).code == ErrorCode.EMPTY


def test_a_file_that_vanished_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"bytes")
    uri = refer_to(path)
    path.unlink()

    assert get_refusal(loader, uri).code == ErrorCode.NOT_FOUND


def test_a_name_below_a_file_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")

    assert get_refusal(loader, refer_to(tmp_path / "image" / "below")).code == ErrorCode.NOT_FOUND


@pytest.mark.parametrize("uri", ["file:///a%00b", "file://", "file:///%ff%fe"])
def test_a_name_that_no_file_has_is_not_found(loader: BytesLoader, uri: str) -> None:
    assert get_refusal(loader, uri).code == ErrorCode.NOT_FOUND


def test_a_lost_link_is_not_found(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")

    assert get_refusal(loader, refer_to(tmp_path / "link")).code == ErrorCode.NOT_FOUND


def test_a_file_without_permission_is_not_readable(loader: BytesLoader, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"bytes")
    path.chmod(0)

    with become_ordinary_user():
        error = get_refusal(loader, refer_to(path))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, "Permission denied")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/" + "n" * 256, "File name too long"),
        ("/n" * 2048, "File name too long"),
    ],
)
def test_what_the_system_does_not_read_is_not_readable(loader: BytesLoader, path: str, reason: str) -> None:
    error = get_refusal(loader, refer_to(path))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, reason)


def test_a_disk_that_does_not_answer_may_answer_later(loader: BytesLoader) -> None:
    error = get_refusal(loader, "file:///proc/self/mem")

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "Input/output error")


def test_too_many_open_files_are_no_fault_of_the_image(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"bytes")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        error = get_refusal(loader, refer_to(tmp_path / "image"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (error.code, error.detail) == (ErrorCode.UNAVAILABLE, "Too many open files")


def test_a_link_to_itself_is_not_readable(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")

    error = get_refusal(loader, refer_to(tmp_path / "link"))

    assert (error.code, error.detail) == (ErrorCode.NOT_READABLE, "Too many levels of symbolic links")


@pytest.mark.parametrize("target", [".", "..", "../..", "/"])
def test_a_link_to_a_folder_around_it_is_a_directory_loop(loader: BytesLoader, tmp_path: Path, target: str) -> None:
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "loop").symlink_to(target)

    assert get_refusal(loader, refer_to(folder / "loop")).code == ErrorCode.DIRECTORY_LOOP


def test_a_directory_loop_is_one_however_often_it_was_followed(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(".")

    assert get_refusal(loader, refer_to(tmp_path / "loop" / "loop" / "loop")).code == ErrorCode.DIRECTORY_LOOP


def test_a_folder_is_not_a_file(loader: BytesLoader, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder-beside").mkdir()
    (tmp_path / "folder-beside" / "link").symlink_to("../folder")

    for path in (tmp_path / "folder", tmp_path / "folder-beside" / "link", Path("/")):
        assert get_refusal(loader, refer_to(path)).code == ErrorCode.NOT_A_FILE


def test_a_pipe_is_not_a_file(loader: BytesLoader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert get_refusal(loader, refer_to(tmp_path / "pipe")).code == ErrorCode.NOT_A_FILE


def test_a_socket_is_not_a_file(loader: BytesLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        # A relative path, since a socket's path is limited to about a hundred bytes.
        listening.bind("socket")

        assert get_refusal(loader, refer_to(tmp_path / "socket")).code == ErrorCode.NOT_A_FILE


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/random", "/dev/full"])
def test_a_device_is_not_a_file(loader: BytesLoader, device: str) -> None:
    assert get_refusal(loader, refer_to(device)).code == ErrorCode.NOT_A_FILE


def test_a_terminal_is_not_a_file(loader: BytesLoader) -> None:
    controller, terminal = os.openpty()
    try:
        assert get_refusal(loader, refer_to(os.ttyname(terminal))).code == ErrorCode.NOT_A_FILE
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
            get_refusal(loader, refer_to(path))

    # There are fewer if connections of earlier tests were closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 - as above

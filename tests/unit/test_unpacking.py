"""The unpacking process: its rights, and that nothing it does can harm the caller or hide a member."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from producer.sources.archive_reading import ArchiveLimits
from producer.sources.archives import ArchiveMember, ArchiveTooLargeError
from producer.sources.unpacking import TIMED_BYTES, UnpackingLimits, read_limits, unpack
from storage.settings import Settings
from tests.kit import hostile_unpacker
from tests.kit.archives import write_tar, write_zip
from tests.kit.threads import GLANCE_S, PATIENCE_S

LIMITS = UnpackingLimits(
    max_members=10,
    max_bytes=100_000,
    max_member_bytes=50_000,
    max_seconds=1.0,
    max_memory_bytes=128 * 2**20,
    stall_s=PATIENCE_S,
)
WHOLE_ARCHIVE = ArchiveMember(None, None)
MEMBER = ArchiveMember("member", bytes(1000))


def members(folder: Path, deeds: str, limits: UnpackingLimits = LIMITS) -> list[ArchiveMember]:
    """Return the members of an archive that makes its process do these things."""
    (folder / "archive.zip").write_text(deeds)
    return list(unpack(os.fsencode(folder / "archive.zip"), limits, hostile_unpacker.__name__))


@pytest.mark.parametrize(
    ("deeds", "expected"),
    [
        ("begin end", []),
        ("begin progress member data whole progress end", [MEMBER]),
        ("begin", [WHOLE_ARCHIVE]),
        ("begin member data whole abort", [MEMBER, WHOLE_ARCHIVE]),
        ("begin member data abort", [ArchiveMember("member", None), WHOLE_ARCHIVE]),
        ("begin member data end", [ArchiveMember("member", None), WHOLE_ARCHIVE]),
        ("begin member data half", [ArchiveMember("member", None), WHOLE_ARCHIVE]),
        ("begin member data whole data", [MEMBER, WHOLE_ARCHIVE]),
        ("begin unknown", [WHOLE_ARCHIVE]),
        ("begin begin", [WHOLE_ARCHIVE]),
        ("begin long-name whole end", [WHOLE_ARCHIVE]),
        ("begin member long-frame", [ArchiveMember("member", None), WHOLE_ARCHIVE]),
        ("begin fail", [WHOLE_ARCHIVE]),
        # A span is not permitted, because the archive is not read in place.
        ("begin member span end", [ArchiveMember("member", None), WHOLE_ARCHIVE]),
        ("begin ask", [WHOLE_ARCHIVE]),
        ("begin member data whole close", [MEMBER, WHOLE_ARCHIVE]),
    ],
)
def test_a_process_that_ends_in_the_middle_or_talks_nonsense_is_a_damaged_archive(
    tmp_path: Path, deeds: str, expected: list[ArchiveMember]
) -> None:
    assert members(tmp_path, deeds) == expected


@pytest.mark.parametrize(
    ("deeds", "setting"),
    [
        ("begin member data-for-ever", "STARLIGHT_MAX_ARCHIVE_BYTES"),
        ("begin members-for-ever", "STARLIGHT_MAX_ARCHIVE_MEMBERS"),
        ("begin compute", "STARLIGHT_MAX_UNPACK_SECONDS"),
        ("begin member data compute", "STARLIGHT_MAX_UNPACK_SECONDS"),
    ],
)
def test_a_process_that_exceeds_a_limit_refuses_the_archive_with_the_setting_to_raise(
    tmp_path: Path, deeds: str, setting: str
) -> None:
    with pytest.raises(ArchiveTooLargeError, match=rf"archive\.zip.*{setting}"):
        members(tmp_path, deeds)


def test_a_process_that_brings_nothing_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ArchiveTooLargeError, match="STARLIGHT_UNPACK_STALL_S"):
        members(tmp_path, "begin wait", replace(LIMITS, stall_s=GLANCE_S * 20))


def test_a_process_that_cannot_begin_is_held_against_no_archive(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="failed to start"):
        members(tmp_path, "half")


def test_the_process_has_the_archive_and_its_pipe_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STARLIGHT_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)

    environment, descriptors = members(tmp_path, "begin environment whole descriptors whole end")

    os.close(inherited)
    # Python itself sets LC_CTYPE.
    assert set(json.loads(environment.name or "")) <= {
        "PATH",
        "LD_LIBRARY_PATH",
        "PYTHONHOME",
        "PYTHONPATH",
        "LC_CTYPE",
    }
    # The last one is the descriptor of the folder that lists them.
    assert json.loads(descriptors.name or "") == [0, 1, 2, 3]


def test_the_process_writes_no_file(tmp_path: Path) -> None:
    assert members(tmp_path, "begin write end") == [ArchiveMember("EFBIG", b"")]


def test_what_takes_too_much_memory_is_refused_with_the_setting_to_raise(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "archive.zip", {f"{number:0100}": b"" for number in range(10_000)})
    strict = replace(LIMITS, max_members=20_000, max_memory_bytes=2**20)

    with pytest.raises(ArchiveTooLargeError, match="STARLIGHT_MAX_UNPACK_BYTES"):
        list(unpack(os.fsencode(path), strict))


def test_whoever_stops_reading_ends_the_process(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "archive.tar", {str(number): bytes(40_000) for number in range(10)})
    before = list_children()
    found = unpack(os.fsencode(path), replace(LIMITS, max_bytes=10**6))

    next(found)
    during = list_children()
    found.close()  # type: ignore[attr-defined]

    assert len(during - before) == 1
    assert list_children() == before


def list_children() -> set[str]:
    """Return the ids of this process's children."""
    children: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        # Threads of other tests may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            children.update((task / "children").read_text().split())
    return children


def test_a_pipe_that_took_the_place_of_the_archive_is_one_unreadable_whole(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "archive.zip")

    assert list(unpack(os.fsencode(tmp_path / "archive.zip"), LIMITS)) == [WHOLE_ARCHIVE]


def test_no_span_leads_out_of_the_archive(tmp_path: Path) -> None:
    deeds = "begin member span end"
    (tmp_path / "archive.zip").write_text(deeds)
    path = os.fsencode(tmp_path / "archive.zip")
    assert next(unpack(path, LIMITS, hostile_unpacker.__name__, in_place=True)).span == (0, 5)

    (tmp_path / "archive.zip").write_text(deeds.replace("span", "far-span"))
    assert list(unpack(path, LIMITS, hostile_unpacker.__name__, in_place=True)) == [
        ArchiveMember("member", None),
        WHOLE_ARCHIVE,
    ]


def test_seconds_grow_with_the_bytes_of_the_archive() -> None:
    limits = read_limits(Settings(max_unpack_seconds=1.5))

    assert limits.allow(0) == ArchiveLimits(200_000, 16 * 2**30, 64 * 2**20 + 1, 2, limits.max_memory_bytes)
    assert [limits.allow(size).max_seconds for size in (TIMED_BYTES - 1, TIMED_BYTES, 5 * TIMED_BYTES)] == [2, 3, 9]


def test_the_process_imports_nothing_that_is_slow_or_not_its_business() -> None:
    program = "import sys, producer.sources.unpacking_process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True).stdout

    ours = {name for name in loaded.split() if re.match(r"(producer|storage|worker|starlight_\w+)\.", name)}
    assert ours == {
        "producer.sources", "producer.sources.archive_reading", "producer.sources.remote_file",
        "producer.sources.tar_reading",
        "producer.sources.unpacking_frames", "producer.sources.unpacking_process", "producer.sources.zip_reading",
        "storage.process_limits",
    }  # fmt: skip
    assert not {"pydantic", "sqlalchemy", "fastapi", "torch", "numpy", "PIL"} & set(loaded.split())

"""Small archives that are made to cost much: what each costs the API, and the process that unpacks it."""

import bz2
import gzip
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.conftest import ServedApi
from tests.kit.archives import pack_zip
from tests.kit.hostile_archives import (
    MIB,
    encode_bzip2_member,
    encode_circle,
    encode_dictionary,
    encode_directory,
    encode_equal_headers,
    encode_headers,
    encode_overlapping,
    encode_sparse,
    encode_sparse_map,
    encode_zeros,
)

ZIP, TAR = "application/zip", "application/x-tar"
MEMBERS = "STARLIGHT_MAX_ARCHIVE_MEMBERS"
SECONDS = "STARLIGHT_MAX_UNPACK_SECONDS"
MEMORY = "STARLIGHT_MAX_UNPACK_BYTES"
# Costs of a process, and of the program that starts it, before anything is read.
START_BYTES, START_S = 64 * MIB, 2.0
# The limit for an archive of less than 32 MiB.
UNPACK_S = 2.0
# The costs that a request may add to the API, whatever the archive contains.
REQUEST_BYTES = 48 * MIB
REQUEST_S = 8.0


@dataclass(frozen=True)
class Attack:
    """An archive, the number of its images or the reason of its refusal, and the limits of its costs."""

    media_type: str
    make: Callable[[], bytes]
    images: int
    refusal: str = ""
    costs_bytes: int = 8 * MIB
    costs_s: float = 0.0


ATTACKS = {
    "zip: a member of bzip2, 32 MiB": Attack(ZIP, lambda: encode_bzip2_member(32 * MIB), 1),
    "zip: a directory of 1.35 million entries": Attack(ZIP, lambda: encode_directory(1_350_000), 0, MEMBERS),
    "zip: a directory of 20,000 entries": Attack(ZIP, lambda: encode_directory(20_000), 20_000, "", 16 * MIB, UNPACK_S),
    "zip: 1,000 entries that are the same 60 MiB": Attack(ZIP, lambda: encode_overlapping(1000, 60 * MIB), 0, MEMBERS),
    "tar: 100 equal headers of 1 MiB": Attack(TAR, lambda: encode_equal_headers(100, MIB), 200, "", 8 * MIB, UNPACK_S),
    "tar: 1,500 equal headers of 60 KiB": Attack(
        TAR, lambda: encode_equal_headers(1500, 60 * 2**10), 1500, "", 8 * MIB, UNPACK_S
    ),
    "tar: 300 links in a circle": Attack(TAR, lambda: encode_circle(300), 300),
    "tar: 400,000 files": Attack(TAR, lambda: encode_headers(400_000), 0, f"{MEMBERS}|{SECONDS}", 8 * MIB, UNPACK_S),
    "tar: 400,000 extended headers": Attack(TAR, lambda: encode_headers(400_000, tarfile.XHDTYPE), 1),
    "tar: 16 sparse files of 64 MiB": Attack(TAR, lambda: encode_sparse(16, 64 * MIB), 16),
    "tar: a sparse map of 1 GiB": Attack(TAR, lambda: encode_sparse_map(2**21), 1),
    "tar: a dictionary of 1.5 GiB": Attack(TAR, encode_dictionary, 0, MEMORY),
    "tar: 15 GiB of zeros in gzip": Attack(
        TAR, lambda: encode_zeros(15_360 * MIB, gzip.compress), 0, SECONDS, 8 * MIB, UNPACK_S
    ),
    "tar: 15 GiB of zeros in bzip2": Attack(
        TAR, lambda: encode_zeros(15_360 * MIB, bz2.compress), 0, SECONDS, 8 * MIB, UNPACK_S
    ),
}
# Starting an API takes longer than most attacks.
THROUGH_THE_API = [
    "zip: a member of bzip2, 32 MiB",
    "zip: a directory of 1.35 million entries",
    "tar: 100 equal headers of 1 MiB",
    "tar: 300 links in a circle",
    "tar: 400,000 files",
    "tar: 16 sparse files of 64 MiB",
]


@pytest.fixture(autouse=True)
def little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow little processor time, so that tests reach the limit."""
    monkeypatch.setenv(SECONDS, str(UNPACK_S))


@pytest.fixture(scope="module")
def limits() -> dict[str, object]:
    """Settings of the API, with the same processor time."""
    return {"max_unpack_seconds": UNPACK_S}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_archive_takes_what_it_may_of_the_process_that_unpacks_it(tmp_path: Path, attack: Attack) -> None:
    path = tmp_path / ("archive.zip" if attack.media_type == ZIP else "archive.tar")
    path.write_bytes(attack.make())

    measured = measure(path)

    assert re.search(attack.refusal, measured["refusal"])
    assert bool(attack.refusal) == bool(measured["refusal"])
    assert attack.refusal or measured["members"] == attack.images
    assert measured["child_bytes"] <= START_BYTES + attack.costs_bytes
    assert measured["child_s"] <= START_S + attack.costs_s


def measure(path: Path) -> dict[str, Any]:
    """Return the measurements that a separate program makes while it unpacks."""
    program = [sys.executable, "-m", "tests.kit.unpack_and_measure", str(path)]
    measured: dict[str, Any] = json.loads(subprocess.run(program, capture_output=True, check=True).stdout)
    return measured


@pytest.mark.parametrize("name", THROUGH_THE_API)
def test_an_archive_costs_the_api_no_more_than_another_body(served: ServedApi, name: str) -> None:
    attack = ATTACKS[name]
    with served.connect() as ann:
        first = ann.post("/v1/jobs", content=pack_zip({"a": b"a"}), headers={"Content-Type": ZIP})
        before, before_s = served.read_peak_bytes(), read_seconds(served.pid)

        answer = ann.post("/v1/jobs", content=attack.make(), headers={"Content-Type": attack.media_type})

        assert first.status_code == 202
        assert answer.status_code == (413 if attack.refusal else 202), answer.text
        if attack.refusal:
            assert re.search(attack.refusal, answer.json()["detail"])
        else:
            assert answer.json()["total"] == attack.images
        assert served.read_peak_bytes() - before <= REQUEST_BYTES
        assert read_seconds(served.pid) - before_s <= REQUEST_S + attack.costs_s
        assert ann.get("/health").status_code == 200


def read_seconds(process_id: int) -> float:
    """Return the processor time of a process and of its ended children, in seconds."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

"""Decoding in separate processes: images that harm them, and the effect on other images."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from starlight_vocabulary.words import ErrorCode
from tests.kit import crashing_decoder
from tests.kit.decoding_pools import LIMITS, MEMORY, OpenPool, list_child_processes, open_pools
from tests.kit.pictures import (
    FORMATS_AND_MODES,
    encode_blank_gif,
    encode_blank_png,
    encode_pattern,
    encode_scans,
    encode_strip,
    encode_truncated,
)
from tests.kit.threads import GLANCE_S, PATIENCE_S, start_thread
from worker.scanning import decoding_pool
from worker.scanning.budget import Budget
from worker.scanning.decoding import Decoder
from worker.scanning.decoding_pool import DecodingPool
from worker.scanning.decoding_process import ALWAYS_FREE_BYTES, READ_PAYLOADS
from worker.v4.planes import extract_planes

CRASHING = crashing_decoder.__name__


@pytest.fixture
def open_pool() -> Iterator[OpenPool]:
    with open_pools() as open_one:
        yield open_one


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodingPool]:
    """A shared pool for images that do not end its process."""
    with open_pools() as open_one:
        yield open_one()


def list_codes(pool: DecodingPool, *images: bytes) -> list[ErrorCode | None]:
    return [error.code if error else None for error in pool.decode(images).errors]


def test_planes_are_those_of_a_decoder_in_this_process(pool: DecodingPool) -> None:
    images = [encode_pattern(name, mode) for name, mode in FORMATS_AND_MODES]

    found = pool.decode(images)

    decoder = Decoder(LIMITS.max_pixels, Budget(MEMORY))
    for number, data in enumerate(images):
        with decoder.decode(data) as picture:
            assert found.planes[number].tobytes() == extract_planes(picture, data).tobytes()
            assert found.formats[number] == picture.format
    assert found.has_planes == [True] * len(images)
    assert found.errors == [None] * len(images)


def test_what_cannot_be_decoded_has_a_reason_and_no_planes(pool: DecodingPool) -> None:
    found = pool.decode([b"hello", encode_blank_png(8_000, 8_000), encode_pattern()])

    assert found.has_planes == [False, False, True]
    assert [error and error.code for error in found.errors] == [
        ErrorCode.UNKNOWN_FORMAT, ErrorCode.TOO_MANY_PIXELS, None,
    ]  # fmt: skip


def test_a_damaged_image_has_planes_and_a_reason(pool: DecodingPool) -> None:
    found = pool.decode([encode_truncated("PNG"), encode_truncated("JPEG"), encode_pattern()])

    assert found.has_planes == [True, True, True]
    assert [error and error.code for error in found.errors] == [ErrorCode.TRUNCATED, ErrorCode.TRUNCATED, None]


def test_an_image_that_takes_too_long_harms_itself_alone(open_pool: OpenPool) -> None:
    pool = open_pool(replace(LIMITS, max_seconds=0.1))
    slow = encode_scans(3000, 150)

    assert list_codes(pool, encode_pattern(), slow, encode_pattern(), slow) == [
        None, ErrorCode.TOO_SLOW, None, ErrorCode.TOO_SLOW,
    ]  # fmt: skip


def test_an_image_that_takes_too_much_memory_harms_itself_alone(open_pool: OpenPool) -> None:
    pool = open_pool(replace(LIMITS, max_bytes=32 * 2**20))

    assert list_codes(pool, encode_pattern(), encode_blank_gif((7000, 7000)), encode_pattern()) == [
        None, ErrorCode.TOO_MUCH_MEMORY, None,
    ]  # fmt: skip


def test_a_default_timeout_of_sockets_does_not_reach_decoders(open_pool: OpenPool) -> None:
    # Celery sets a default timeout for the process while it reconnects; sockets that are made meanwhile inherit it.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(1e-6)
    try:
        found = list_codes(open_pool(), encode_blank_png(5000, 5000), encode_pattern())
    finally:
        socket.setdefaulttimeout(before)

    assert found == [None, None]


def test_an_image_that_ends_its_decoder_twice_is_the_culprit(open_pool: OpenPool) -> None:
    images = [encode_strip(width) for width in (1, crashing_decoder.ALWAYS, 2, crashing_decoder.ALWAYS, 3)]

    found = open_pool(module=CRASHING).decode(images)

    assert [error and (error.code, error.detail) for error in found.errors] == [
        None,
        (ErrorCode.DECODER_CRASH, "its decoder ended twice: SIGABRT"),
        None,
        (ErrorCode.DECODER_CRASH, "its decoder ended twice: SIGABRT"),
        None,
    ]


def test_an_end_that_does_not_come_again_is_held_against_nobody(
    open_pool: OpenPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "once"
    once.touch()
    monkeypatch.setenv(crashing_decoder.ONCE_VARIABLE, str(once))
    images = [encode_strip(width) for width in (1, crashing_decoder.ONCE, 2)]

    assert list_codes(open_pool(module=CRASHING), *images) == [None, None, None]
    assert not once.exists()


def test_decoders_that_do_not_start_are_no_image_s_fault(open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(crashing_decoder.NEVER_STARTS_VARIABLE, "1")

    with pytest.raises(RuntimeError, match="end before their first image: status 3"):
        open_pool(module=CRASHING).decode([encode_pattern()])


def test_secrets_of_the_worker_are_withheld(open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The decoder would crash at its start if it had this environment variable.
    monkeypatch.setenv("STARLIGHT_DATABASE_URL", "not a URL: any use of it fails")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    pool = open_pool()
    pool.decode([encode_pattern()])

    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in list_child_processes()]

    decoders = [each for each in environments if b"MALLOC_TRIM_THRESHOLD_" in each]
    assert decoders
    assert not any(b"STARLIGHT_" in each or b"AWS_" in each for each in decoders)


def test_large_pictures_wait_for_memory_and_small_ones_do_not(open_pool: OpenPool) -> None:
    budget = Budget(MEMORY)
    pool = open_pool(budget=budget)
    large = encode_blank_gif((5000, 5000))
    assert ALWAYS_FREE_BYTES < 5000 * 5000

    with budget.hold(MEMORY):
        assert list_codes(pool, encode_pattern()) == [None]
        waiting = start_thread(list_codes, pool, large, large)
        with pytest.raises(TimeoutError):
            waiting.result(GLANCE_S)

    assert waiting.result(PATIENCE_S) == [None, None]
    assert budget.reserve_if_free(MEMORY) is not None


def test_what_fails_while_answers_are_taken_is_what_is_told(
    open_pool: OpenPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: np.void) -> None:
        raise MemoryError

    monkeypatch.setattr(decoding_pool, "read_error", fail)

    with pytest.raises(MemoryError):
        open_pool().decode([b"no image"])


def test_groups_of_every_size_follow_each_other(pool: DecodingPool) -> None:
    rng = np.random.default_rng(0)

    for count in (0, 1, 64, 3):
        trailing = [rng.bytes(size) for size in rng.integers(0, 2**18, count)]
        found = pool.decode([encode_strip(4, each) for each in trailing])
        sizes = [len(each) for each in trailing]
        assert found.planes["numbers"][:, 5].tolist() == sizes
        heads = [hashlib.sha256(planes["trailing"][:64]).digest() for planes in found.planes]
        assert heads == [hashlib.sha256(each[:64].ljust(64, b"\0")).digest() for each in trailing]


def test_a_decoder_whose_worker_was_killed_ends_without_a_word() -> None:
    ours, theirs = socket.socketpair()
    memory = os.memfd_create("decoder")
    os.truncate(memory, 2**27)
    limits = json.dumps(asdict(LIMITS))
    with theirs, os.fdopen(memory, "rb"):
        command = [sys.executable, "-m", "worker.scanning.decoding_process", str(memory), str(2**27), limits, "text"]
        process = subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.PIPE, pass_fds=[memory], text=True)
    ours.sendall(READ_PAYLOADS)
    # An unread answer turns the end of the connection into a reset, as if the process had been killed.
    ours.recv(1, socket.MSG_PEEK)
    ours.close()

    _, said = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, said) == (0, "")

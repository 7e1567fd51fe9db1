"""The end of the picture and the position of the EXIF block in each container."""

import time

import numpy as np
import pytest
from PIL import Image

from tests.kit.pictures import draw_noise, encode
from worker.v4.containers import find_trailing, survey
from worker.v4.exif import find_user_comment

FILES = {
    "jpeg": encode(draw_noise("RGB"), "JPEG", quality=97),
    "jpeg, progressive": encode(draw_noise("RGB"), "JPEG", progressive=True),
    "jpeg, restart markers": encode(draw_noise("RGB", 200, 200), "JPEG", restart_marker_rows=1),
    "png": encode(draw_noise("RGBA"), "PNG"),
    "gif": encode(draw_noise("P"), "GIF"),
    "gif, two frames": encode(draw_noise("P"), "GIF", save_all=True, append_images=[draw_noise("P", seed=1)]),
    "webp": encode(draw_noise("RGB"), "WEBP", lossless=True),
    "webp, odd size": encode(draw_noise("RGB", 7, 3), "WEBP", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00"),
    "bmp": encode(draw_noise("RGB", 13, 5), "BMP"),
    "bmp, palette": encode(draw_noise("P", 13, 5), "BMP"),
}


@pytest.mark.parametrize("name", FILES)
def test_nothing_trails_a_whole_file(name: str) -> None:
    assert survey(FILES[name]).container == name.split(",")[0]
    assert survey(FILES[name]).end == len(FILES[name])
    assert find_trailing(FILES[name]).nbytes == 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("tail", [b"hidden text\x00", b"\xff\xd8\xff\xd9", b"\x00", b"\xff\xd9", FILES["jpeg"]])
def test_what_trails_is_found(name: str, tail: bytes) -> None:
    assert bytes(find_trailing(FILES[name] + tail)) == tail


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_has_no_known_end(name: str) -> None:
    for size in range(len(FILES[name]) - 1, 0, -max(1, len(FILES[name]) // 50)):
        cut = FILES[name][:size]
        assert survey(cut).end == size


def test_a_thumbnail_is_no_end() -> None:
    thumbnail = encode(draw_noise("RGB", 8, 8), "JPEG")
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00\x00\x00" + thumbnail
    data = encode(draw_noise("RGB"), "JPEG", exif=exif)
    assert survey(data).end == len(data)


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x10\x00\x00\x00WEBP", b"BM", b""]
)
def test_garbage_is_survived(start: bytes) -> None:
    rng = np.random.default_rng(1)
    for size in (0, 1, 3, 8, 12, 40, 1000):
        for _ in range(30):
            data = start + rng.bytes(size)
            layout = survey(data)
            assert 0 <= layout.end <= len(data)
            assert 0 <= layout.exif_start <= layout.exif_end <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + b"\xff\xe1\x00\x02" * 500_000,
        b"\xff\xd8\xff" + b"\xff\xd0" * 1_000_000,
        b"\xff\xd8" + b"\xff" * 2_000_000,
        b"\xff\xd8\xff\xda\x00\x02" + b"\xff\x00" * 1_000_000,
        b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00abcd\x00\x00\x00\x00" * 200_000,
        b"GIF89a" + bytes(7) + b"\x21\xfe" + b"\x01a" * 1_000_000,
        b"RIFF\xff\xff\xff\x7fWEBP" + b"abcd\x00\x00\x00\x00" * 250_000,
    ],
    ids=["segments", "restarts", "fill", "scan", "chunks", "sub-blocks", "riff"],
)
def test_hostile_files_of_two_megabytes_take_less_than_two_seconds(data: bytes) -> None:
    started = time.process_time()
    survey(data)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("in_main", [False, True])
def test_the_user_comment_is_found_in_every_container(container: str, in_main: bool) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    if in_main:
        exif[0x9286] = b"a comment"
    else:
        exif.get_ifd(0x8769)[0x9286] = b"a comment"
    data = encode(draw_noise("RGB"), container, exif=exif.tobytes())
    layout = survey(data)
    assert bytes(find_user_comment(memoryview(data)[layout.exif_start : layout.exif_end])) == b"a comment"


def test_malformed_exif_is_survived() -> None:
    rng = np.random.default_rng(2)
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"a comment"
    block = bytearray(exif.tobytes()[6:])
    assert bytes(find_user_comment(memoryview(block))) == b"a comment"
    for _ in range(3000):
        broken = bytearray(block)
        for position in rng.integers(0, len(broken), 3):
            broken[position] = rng.integers(256)
        find_user_comment(memoryview(broken[: rng.integers(len(broken) + 1)]))

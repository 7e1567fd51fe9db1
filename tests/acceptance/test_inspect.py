"""`starlight inspect` as a person runs it, without any server."""

import json
from pathlib import Path

import pytest

from producer.cli.commands.inspection import print_inspection
from storage.settings import Settings
from tests.kit.command import run_starlight
from tests.kit.hiding import TEXTS, make_full_jpeg, make_full_png
from tests.kit.pictures import decode, encode_truncated
from worker.scanning.decoding_pool import open_decoding_pool

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "stego-lsb.rgb-lsb-first-photo.png"
V4_SAYS = {
    "is_stego": False, "stego_probability": 0.25, "method": None, "bit_order": None, "model": "v4-0", "threshold": 0.5,
}  # fmt: skip


def test_what_is_readable_comes_first_and_v4_stands_beside_it(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "full.jpg"
    path.write_bytes(make_full_jpeg())

    run = run_starlight("inspect", path, settings={"data_dir": data_dir})

    assert run.returncode == 0, run.stderr
    facts, digest, v4, titles, *rows = run.stdout.splitlines()
    assert facts.startswith(f"{path}: JPEG, RGB, 64x64, ")
    assert len(digest.removeprefix("SHA-256 ")) == 64
    assert "stego" in v4
    assert titles.split() == ["PLACE", "READ", "AS", "KIND", "SIZE", "WHAT", "IT", "SAYS"]
    shown = {
        name: number
        for name, text in TEXTS.items()
        for number, row in enumerate(rows)
        if f"{name} " in row and text in row
    }
    assert set(shown) == {name for name in TEXTS if "bits" not in name and "TXt" not in name and "tEXt" not in name}
    assert max(shown.values()) < min(number for number, row in enumerate(rows) if row.startswith("pixels"))
    assert not any(data_dir.iterdir()), "nothing is stored, and no server started"


def test_programs_get_one_object_and_pictures_are_written(data_dir: Path, tmp_path: Path) -> None:
    run = run_starlight("inspect", SAMPLE, "--json", "--pictures", tmp_path / "planes", settings={"data_dir": data_dir})

    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    first = found["inspection"]["findings"][0]
    assert (found["v4"]["is_stego"], found["v4"]["method"], found["v4"]["bit_order"]) == (True, "lsb.rgb", "lsb-first")
    assert (first["place"], first["name"], first["payload"]["kind"]) == ("pixels", "R,G,B, 1 bit, lsb-first", "text")
    assert [Path(path).name for path in found["pictures"]] == [
        f"{SAMPLE.stem}-{band}-bit-{bit}.png" for band in "rgb" for bit in (0, 1)
    ]
    assert all(decode(Path(path).read_bytes()).size == decode(SAMPLE.read_bytes()).size for path in found["pictures"])


def print_what_is_in(data: bytes) -> None:
    """Print an image's inspection like the command, but without the process that runs V4, which starts slowly."""
    pool = open_decoding_pool(Settings(), 1, len(data))
    try:
        print_inspection(Path("image"), data, V4_SAYS, pool.inspect(data))
    finally:
        pool.stop()


def test_orders_beyond_the_methods_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_what_is_in(make_full_png())

    name = "B,G,R, 2 bits, msb-first, columns"
    assert any(name in row and TEXTS[name] in row for row in capsys.readouterr().out.splitlines())


def test_of_a_damaged_image_what_is_left_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_what_is_in(encode_truncated())

    assert "\ndamaged: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is no image", "unknown_format"),
        (bytes(3000), "larger than 2,000 bytes"),
        (None, "red.png: No such file or directory\n"),
    ],
)
def test_what_cannot_be_looked_into_is_one_line(
    data_dir: Path, tmp_path: Path, data: bytes | None, reason: str
) -> None:
    path = tmp_path / "\x1b[31mred.png"
    if data is not None:
        path.write_bytes(data)

    run = run_starlight("inspect", path, settings={"data_dir": data_dir, "max_image_bytes": 2000})

    assert (run.returncode, run.stdout) == (2, "")
    assert reason in run.stderr
    assert run.stderr.startswith("starlight: ")
    assert run.stderr.rstrip("\n").isprintable()


def test_a_pipe_is_not_waited_for(data_dir: Path, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")

    run = run_starlight("inspect", tmp_path / "pipe.png", settings={"data_dir": data_dir})

    assert (run.returncode, run.stderr) == (2, f"starlight: {tmp_path / 'pipe.png'}: not a file\n")


def test_pictures_are_written_to_a_folder_only(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    run = run_starlight("inspect", SAMPLE, "--pictures", file, settings={"data_dir": data_dir})

    complaint = f"starlight: {file} is not a folder: name a folder for the files\n"
    assert (run.returncode, run.stdout, run.stderr) == (2, "", complaint)

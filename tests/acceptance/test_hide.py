"""`starlight hide` as a person runs it, without any server."""

from pathlib import Path

from starlight_vocabulary.words import BitOrder
from tests.kit.command import run_starlight
from tests.kit.pictures import decode, encode_pattern
from worker.v4.extraction import read_payload


def test_a_message_is_hidden_in_a_new_file(data_dir: Path, tmp_path: Path) -> None:
    image, output = tmp_path / "cover.png", tmp_path / "stego.png"
    image.write_bytes(encode_pattern("PNG", size=(64, 64)))
    arguments = ("hide", image, "--message", "Meet me at noon.", "--method", "lsb.rgb", "--output", output)

    first, second = (run_starlight(*arguments, settings={"data_dir": data_dir}) for _ in range(2))

    assert (first.returncode, first.stdout) == (0, f"{output}: 16 bytes hidden with lsb.rgb\n"), first.stderr
    stego = output.read_bytes()
    assert read_payload(decode(stego), stego, "lsb.rgb", BitOrder.MSB_FIRST).payload.text == "Meet me at noon."
    assert (second.returncode, second.stderr) == (2, f"starlight: {output}: this file already exists\n")
    assert not any(data_dir.iterdir()), "nothing is stored, and no server started"


def test_what_would_not_survive_is_one_line(data_dir: Path, tmp_path: Path) -> None:
    image, output = tmp_path / "cover.jpg", tmp_path / "stego.jpg"
    image.write_bytes(encode_pattern("JPEG", size=(64, 64)))

    run = run_starlight(
        "hide", image, "--message", "hi", "--method", "alpha", "--output", output, settings={"data_dir": data_dir}
    )

    complaint = "alpha does not go into this JPEG: it is lossy, so changed pixels would not survive; use exif or raw"
    assert (run.returncode, run.stderr) == (2, f"starlight: {image}: {complaint}\n")
    assert not output.exists()

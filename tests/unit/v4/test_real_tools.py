"""Real tools: the catalogue, running a tool, and what is counted of the images that it wrote."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from research.real_tools.catalogue import CatalogueError, Tool, Way, read_catalogue
from research.real_tools.command import main
from research.real_tools.covers import COVER_KINDS, draw_message, draw_pictures
from research.real_tools.installing import Installer, NotInstalledError
from research.real_tools.keeping import Keeper
from research.real_tools.measuring import add_up
from research.real_tools.running import FailedError, run_way
from research.stego.corpus import open_image

ROOT = Path(__file__).parents[3]
HERE = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT}/client"}
CATALOGUE = """
[[tool]]
name = "our own"
registry = "host"
packages = ["sh"]

[[tool.way]]
name = "after the end"
covers = ["jpeg"]
shell = 'cat "$cover" "$secret" > "$stego"'
method = "raw"

[[tool.way]]
name = "nowhere"
covers = ["png RGB"]
shell = 'echo "Error: no room"; exit 3'
outside = "nothing is written"

[[tool]]
name = "not here"
registry = "host"
packages = ["no-such-program"]

[[tool.way]]
name = "hide"
covers = ["jpeg"]
shell = "true"
method = "raw"
"""


def make_way(language: str, program: str) -> Way:
    """A way of the tool that a test stands for."""
    return Way("test", ("png RGB",), language, program, "raw", "", "text", ascii_only=False, longest=100)


def make_cover(kind: str = "png RGB") -> bytes:
    return COVER_KINDS[kind].encode(draw_pictures(np.random.default_rng(1), None, 1)[0])


def test_the_catalogue_can_be_read_and_pins_what_pypi_and_npm_install() -> None:
    catalogue = read_catalogue()

    assert len({(tool.name, tool.registry) for tool in catalogue.tools}) == len(catalogue.tools)
    for tool in catalogue.tools:
        pin = {"pypi": "==", "npm": "@"}.get(tool.registry, "")
        assert [package for package in tool.packages if pin not in package] == []


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('registry = "host"', 'registry = "disk"', "our own: the registry is 'disk'"),
        ('method = "raw"', "", "our own, after the end: either a method or a reason"),
        ('method = "raw"', 'method = "audio"', "our own, after the end: method is 'audio'"),
        ('covers = ["jpeg"]', 'covers = ["tga"]', "our own, after the end: cover is 'tga'"),
        ("shell =", "python = 'x'\nshell =", "our own, after the end: exactly one of python, node, shell"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, before: str, after: str, reason: str) -> None:
    path = tmp_path / "tools.toml"
    path.write_text(CATALOGUE.replace(before, after, 1))

    with pytest.raises(CatalogueError, match=reason):
        read_catalogue(path)


def test_a_tool_gets_cover_and_message_and_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARLIGHT_DATABASE_URL", "secret")
    program = "open(stego, 'wb').write(open(cover, 'rb').read() + text.encode() + str(sorted(os.environ)).encode())"
    cover = make_cover()

    written = run_way(make_way("python", program), "png RGB", cover, "Grüße", HERE)

    assert written.startswith(cover + "Grüße".encode())
    assert b"STARLIGHT" not in written


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('Error: too small')", "Error: too small"),
        ("print('done')", "done"),
        ("import shutil; shutil.copy(cover, stego)", "nothing was written"),
    ],
)
def test_a_tool_that_hides_nothing_has_failed(program: str, reason: str) -> None:
    with pytest.raises(FailedError, match=reason):
        run_way(make_way("python", program), "png RGB", make_cover(), "message", HERE)


def test_an_image_that_was_kept_is_used_again_for_the_same_message_alone(tmp_path: Path) -> None:
    way = make_way("python", "open(stego, 'wb').write(os.urandom(16))")
    tool = Tool("chance", "host", ("python",), (way,))

    written = [Keeper(tool, HERE, tmp_path).hide(way, "png RGB", make_cover(), text) for text in ("one", "one", "two")]

    assert written[0] == written[1] != written[2]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    catalogue = read_catalogue()
    tool = Tool("absent", "host", ("no-such-program",), (make_way("shell", "true"),))

    with pytest.raises(NotInstalledError, match="no program no-such-program here"):
        Installer(tmp_path, catalogue).install(tool)


@pytest.mark.parametrize("kind", COVER_KINDS)
def test_covers_are_images_of_their_kind(kind: str) -> None:
    image = open_image(make_cover(kind))

    assert image.format in ("PNG", "BMP", "JPEG", "GIF", "WEBP")
    if kind.startswith("png"):
        assert image.mode == kind.removeprefix("png ")


def test_messages_keep_to_what_a_tool_can_write() -> None:
    rng = np.random.default_rng(2)

    messages = [draw_message(rng, "other script", ascii_only=True, longest=40) for _ in range(20)]
    scripts = [draw_message(rng, "other script", ascii_only=False, longest=400) for _ in range(20)]

    assert all(message.isascii() and 0 < len(message) <= 40 for message in messages)
    assert not all(message.isascii() for message in scripts)


def test_totals_separate_what_v4_looks_for_from_the_rest() -> None:
    row = {"shows": "text", "outside": "", "made": 4, "found": 3, "right": 3, "shown": 2, "inspected": 4}

    totals = add_up([row, row | {"shows": "nothing", "shown": 0}, row | {"outside": "columns"}, row | {"shows": "zip"}])

    assert [(name, group["configurations"]) for name, group in totals.items()] == [
        ("text", 1), ("files", 1), ("ciphertext", 1), ("outside", 1)
    ]  # fmt: skip
    assert (totals["text"]["found"]["share"], totals["text"]["shown"]["share"]) == (0.75, 0.5)
    assert totals["ciphertext"]["shown"]["of"] == 0


@pytest.mark.skipif(shutil.which("cat") is None, reason="no cat here")
def test_the_command_runs_a_tool_scans_what_it_wrote_and_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tools.toml").write_text(CATALOGUE)
    report = tmp_path / "report.json"

    main(["--folder", str(tmp_path / "tools"), "--catalogue", str(tmp_path / "tools.toml"), "--covers", "2",
          "--images", str(tmp_path / "images"), "--json", str(report)])  # fmt: skip

    page = report.with_suffix(".md").read_text()
    assert "| our own (host) | after the end | jpeg | `raw` | 2 of 2 | 2 of 2 | 2 of 2 |" in page
    assert "| our own (host) | nowhere | png RGB | 2 | Error: no room |" in page
    assert "| not here (host) | no program no-such-program here |" in page
    kept = sorted(path for path in (tmp_path / "images").iterdir() if path.suffix == ".jpg")
    assert [Image.open(path).format for path in kept] == ["JPEG", "JPEG"]

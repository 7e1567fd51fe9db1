"""Draws the pictures of the page in `docs/` with a running stack: `scripts/draw_page`.

V4 scans drawn images, clean and stego, as fourteen jobs. Their verdicts are then dated back, one job a day, since the
diagram of the model shows days. Verdicts are judged by what is known about the images.
"""

import argparse
import importlib
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from sqlalchemy import Engine, text

from producer.canaries.drawing import draw_canaries
from research.stego.drawn import draw_picture
from starlight_vocabulary.words import Judgement, Outcome
from storage.database import connect
from storage.embedded.servers import provide_servers
from storage.jobs import get_job
from storage.judgements import judge
from storage.keys import create_key
from storage.settings import read_settings
from storage.verdict_search import VerdictFilter, find_verdicts
from worker.v4.embedding import embed_alpha

# Of Playwright, which only the extra `browser` installs.
Page = Any

ROOT: Final = Path(__file__).parents[1]
SEED: Final = 8
DAYS: Final = 14
# Clean pictures of a day, beside ten that are drawn as canaries are, of which half hide something.
OTHERS: Final = 30
# The share of clean verdicts that is judged, and of judgements that are unsure.
LOOKED_AT, UNSURE = 0.4, 0.05
ROUNDS: Final = 10
PATIENCE_S: Final = 180.0
MESSAGE: Final = (
    "meet me at noon\u202e, by the mill\nbring the list of names, and do not speak to anybody on the way there"
)
WIDE, NARROW = (1280, 1000), (390, 1035)

DATE_BACK: Final = text(
    "UPDATE verdicts SET scanned_at = scanned_at - make_interval(days => :days) WHERE job_id = :job_id"
)
COUNT_ROUNDS: Final = text("SELECT count(*) FROM canary_rounds WHERE ended_at IS NOT NULL")


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture to take: its file, the path of the page, the colour scheme, and the size of the window."""

    file: Path
    path: str
    scheme: str
    size: tuple[int, int]
    whole: bool = False


def main() -> None:
    """Draw the pictures; with `--all`, every page in every look into a folder."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the page in docs/.")
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="draw every page, light, dark and narrow, in here")
    folder: Path | None = parser.parse_args().all
    settings = read_settings()
    with (
        provide_servers(settings) as servers,
        open_page(f"http://127.0.0.1:{settings.api_port}") as page,
        TemporaryDirectory() as images,
    ):
        engine = connect(servers.database_url)
        sign_in(page, create_key(engine, "ann", ["admin"]))
        verdict = scan_everything(page, engine, Path(images))
        wait_until(lambda: count_rounds(engine) >= ROUNDS, "rounds of canaries")
        for shot in list_all(folder, verdict) if folder else list_shots(ROOT / "docs", verdict):
            take(page, shot)
            print(shot.file)


def list_shots(folder: Path, verdict: str) -> list[Shot]:
    """Return the pictures of the documentation."""
    return [
        Shot(folder / "page.png", verdict, "light", WIDE),
        Shot(folder / "page-model.png", "/page/model", "light", WIDE),
        Shot(folder / "page-narrow.png", verdict, "dark", NARROW),
    ]


def list_all(folder: Path, verdict: str) -> list[Shot]:
    """Return pictures of whole pages, each in both colour schemes and both sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "now": "/", "jobs": "/page/jobs", "job": verdict.partition("/verdicts")[0], "verdicts": "/page/verdicts",
        "verdict": verdict, "model": "/page/model", "operations": "/page/operations", "sign-in": "/page/sign-in",
    }  # fmt: skip
    return [
        Shot(folder / f"{name}-{scheme}-{size[0]}.png", path, scheme, size, whole=True)
        for name, path in paths.items() for scheme in ("light", "dark") for size in (WIDE, NARROW)
    ]  # fmt: skip


def scan_everything(page: Page, engine: Engine, folder: Path) -> str:
    """Scan and judge two weeks of images; return the path of the verdict to show."""
    rng = np.random.default_rng(SEED)
    today = datetime.now(UTC).date()
    for days in reversed(range(DAYS)):
        hidden = draw_day(folder / str(days), days, rng)
        job_id = scan(page, engine, folder / str(days), f"uploads of {today - timedelta(days=days)}")
        judge_all(engine, job_id, hidden, rng)
        date_back(engine, job_id, days)
    draw_holiday(folder / "holiday", rng)
    job_id = scan(page, engine, folder / "holiday", "holiday pictures")
    (shown,) = find_verdicts(engine, VerdictFilter(job_id=job_id, outcome=Outcome.STEGO))
    judge(engine, job_id, shown.ordinal, Judgement.TRUE, "asked the owner", "ann")
    return f"/page/jobs/{job_id}/verdicts/{shown.ordinal}"


def draw_day(folder: Path, seed: int, rng: np.random.Generator) -> set[str]:
    """Write the images of a day; return the names of those in which something is hidden."""
    folder.mkdir()
    canaries = draw_canaries(seed)
    for canary in canaries:
        (folder / canary.name).write_bytes(canary.data)
    for number in range(OTHERS):
        draw_picture(rng).save(folder / f"{number}.png")
    return {canary.name for canary in canaries if canary.hidden}


def draw_holiday(folder: Path, rng: np.random.Generator) -> None:
    """Write a few pictures, one of them with a message."""
    folder.mkdir()
    poster = draw_picture(np.random.default_rng(17), "shapes", (360, 240)).convert("RGBA")
    embed_alpha(poster, MESSAGE.encode()).save(folder / "poster.png")
    for name, kind in (("beach", "photo"), ("lake", "photo"), ("map", "shapes"), ("sky", "gradient"), ("tile", "tile")):
        draw_picture(rng, kind, (240, 160)).save(folder / f"{name}.jpg")


def sign_in(page: Page, key: str) -> None:
    """Sign in to the page with a key."""
    page.goto("/page/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Now").wait_for()


def scan(page: Page, engine: Engine, folder: Path, name: str) -> uuid.UUID:
    """Submit a folder's images by the form of the page, and wait for their verdicts."""
    page.goto("/page/jobs")
    page.get_by_label("Scan images").set_input_files(sorted(folder.iterdir()))
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Scan", exact=True).click()
    page.wait_for_url("**/page/jobs/*-*")
    job_id = uuid.UUID(page.url.rpartition("/")[2])
    wait_until(lambda: (job := get_job(engine, job_id)) is not None and job.ended, f"the end of the job {name}")
    return job_id


def judge_all(engine: Engine, job_id: uuid.UUID, hidden: set[str], rng: np.random.Generator) -> None:
    """Judge verdicts as a person who knows in which images something is hidden."""
    for verdict in find_verdicts(engine, VerdictFilter(job_id=job_id)):
        if verdict.is_stego is None or (not verdict.is_stego and rng.random() >= LOOKED_AT):
            continue
        is_true = verdict.is_stego == (verdict.uri.rpartition("/")[2] in hidden)
        word = Judgement.TRUE if is_true else Judgement.FALSE
        judge(engine, job_id, verdict.ordinal, Judgement.UNSURE if rng.random() < UNSURE else word, "", "ann")


def date_back(engine: Engine, job_id: uuid.UUID, days: int) -> None:
    """Move the times of a job's verdicts back by days."""
    with engine.begin() as connection:
        connection.execute(DATE_BACK, {"days": days, "job_id": job_id})


def count_rounds(engine: Engine) -> int:
    """Return the number of ended rounds of canaries."""
    with engine.connect() as connection:
        return int(connection.execute(COUNT_ROUNDS).scalar_one())


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait; exits with an error if it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise SystemExit(f"draw_page: {what} did not come within {PATIENCE_S:.0f} s")
        time.sleep(0.5)


def take(page: Page, shot: Shot) -> None:
    """Take a picture, when all images on the page are loaded."""
    page.emulate_media(color_scheme=shot.scheme)
    page.set_viewport_size({"width": shot.size[0], "height": shot.size[1]})
    page.goto(shot.path)
    if "/verdicts/" in shot.path:
        page.get_by_role("heading", name="Bit planes").wait_for()
    # Those further down are not loaded before somebody scrolls there.
    page.evaluate("document.querySelectorAll('img').forEach((each) => { each.loading = 'eager'; })")
    page.wait_for_function("() => [...document.images].every((each) => each.complete)")
    page.screenshot(path=shot.file, full_page=shot.whole)


@contextmanager
def open_page(address: str) -> Iterator[Page]:
    """Yield a page of the system's Chromium; exits with an error if it or Playwright is missing."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("draw_page: there is no chromium on this machine: install it (Debian: apt install chromium)")
    try:
        # Only the extra `browser` has it.
        playwright_api = importlib.import_module("playwright.sync_api")
    except ImportError:
        raise SystemExit("draw_page: Playwright is not installed: run .venv/bin/pip install -e '.[browser]'") from None
    with playwright_api.sync_playwright() as playwright:
        # Root has no sandbox of Chromium's.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page(base_url=address)
        browser.close()


if __name__ == "__main__":
    main()

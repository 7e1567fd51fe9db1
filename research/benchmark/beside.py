"""Compares this tree with another revision: runs both stacks, measures them in turn, and returns ratios."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from research.benchmark.pictures import draw_images
from research.stego.corpus import SUFFIXES

GIT = shutil.which("git") or "git"
ROOT = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("tree.py")

Measured: TypeAlias = dict[str, tuple[list[dict[str, float]], list[dict[str, float]]]]
"""Figures of each round, of the other revision and of this tree."""


class Tree:
    """A running stack of one revision, in a separate process."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self._process = process
        self._name = name

    def measure(self, what: str, count: int) -> dict[str, float]:
        """Scan `count` images and return the figures; exits with an error if the stack has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(what, count, file=self._process.stdin, flush=True)
        return self._read(self._process.stdout.readline())

    def wait(self) -> None:
        """Wait until the stack is ready; exits with an error if it does not start."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            sys.exit(f"bench: the stack of {self._name} does not start")

    def _read(self, line: str) -> dict[str, float]:
        if not line:
            sys.exit(f"bench: the stack of {self._name} ended")
        figures: dict[str, float] = json.loads(line)
        return figures


def measure_beside(revision: str, images: int, posts: int, rounds: int, folder: Path | None) -> dict[str, Any]:
    """Return the rates of both and their ratios, this tree's divided by the other's.

    Images are drawn, or those below `folder`. The first round does not count.
    """
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as name, ExitStack() as running:
        place = Path(name)
        place.chmod(0o711)
        uris = draw_images(place, images) if folder is None else list_images(folder)
        references = place / "references.json"
        references.write_text(json.dumps(uris))
        other = running.enter_context(check_out(revision, place / "tree"))
        trees = [
            running.enter_context(run_tree(*each, references)) for each in ((other, revision), (ROOT, "this tree"))
        ]
        for tree in trees:
            tree.wait()
        counts = {"bulk": len(uris), "posts": posts, "lone": posts // 4, "in_bulk": posts // 8}
        measured: Measured = {what: ([], []) for what in counts}
        for number in range(rounds + 1):
            for what, count in counts.items():
                for place_of in (0, 1) if number % 2 else (1, 0):
                    figures = trees[place_of].measure(what, count)
                    if number:
                        measured[what][place_of].append(figures)
    return {"revision": revision, "images": len(uris), "rounds": rounds, **summarise(measured)}


def list_images(folder: Path) -> list[str]:
    """Return references to the images below a folder; exits with an error if there are none."""
    uris = [path.resolve().as_uri() for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    return uris or sys.exit(f"bench: no images below {folder}")


@contextmanager
def check_out(revision: str, tree: Path) -> Iterator[Path]:
    """Check out a revision as a worktree during the block; exits with an error if it does not exist."""
    added = subprocess.run(
        [GIT, "-C", str(ROOT), "worktree", "add", "--detach", str(tree), revision],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if added.returncode:
        sys.exit(f"bench: {added.stderr.strip()}")
    try:
        yield tree
    finally:
        subprocess.run([GIT, "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


@contextmanager
def run_tree(tree: Path, name: str, references: Path) -> Iterator[Tree]:
    """Run a tree's stack during the block."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'client'}", "STARLIGHT_LOG": "text"}
    process = subprocess.Popen(
        [sys.executable, str(DRIVER), str(references)],
        cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Tree(process, name)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def summarise(measured: Measured) -> dict[str, Any]:
    """Return the ratio of each round, their median, and the medians of all figures of both."""
    figures: dict[str, Any] = {}
    for what, (before, after) in measured.items():
        rate = "per_minute" if what == "bulk" else "per_second"
        ratios = [new[rate] / old[rate] for old, new in zip(before, after, strict=True)]
        figures[f"ratio_{what}"] = round(statistics.median(ratios), 3)
        figures[f"ratios_{what}"] = [round(ratio, 3) for ratio in ratios]
        for name in before[0]:
            for side, rows in (("before", before), ("now", after)):
                figures[f"{what}_{name}_{side}"] = round(statistics.median(row[name] for row in rows), 1)
    return figures

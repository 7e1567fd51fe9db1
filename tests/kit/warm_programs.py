"""Starts programs as forks of a process that has already imported them, since imports dominate a short run."""

import gc
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

# Modules that only one program needs are not preloaded: it imports them itself, as usual.
PRELOADED = ("producer.cli.command", "producer.api.app", "producer.api.connections", "uvicorn")
FORKS = get_context("forkserver")
FORKS.set_forkserver_preload([*PRELOADED, __name__])


def start_program(
    arguments: Sequence[str], environment: Mapping[str, str], streams: tuple[Path, Path, Path]
) -> BaseProcess:
    """Run `python ARGUMENTS`, with `-m` or `-c`, in a fork; the files are its standard streams."""
    process = FORKS.Process(target=_run, args=(arguments, environment, Path.cwd(), streams))
    process.start()
    return process


def _run(arguments: Sequence[str], environment: Mapping[str, str], cwd: Path, streams: tuple[Path, Path, Path]) -> None:
    # What was imported stays: collections of garbage need not go through it.
    gc.freeze()
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, *2 * (os.O_WRONLY | os.O_CREAT,)), strict=True)):
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - open to the end
        for number, mode, errors in ((0, "r", "surrogateescape"), (1, "w", "strict"), (2, "w", "backslashreplace"))
    )
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    option, program, *rest = arguments
    sys.argv = [program, *rest]
    if option == "-c":
        exec(program, {"__name__": "__main__"})
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)

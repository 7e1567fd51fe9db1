"""Running the programs of the stack as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.command import make_environment
from tests.kit.output import Output
from tests.kit.threads import PATIENCE_S


def read_peak_bytes(process_id: int) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def forget_peak_bytes(process_id: int) -> None:
    """Have the most memory that a process has had count from now on (Linux's proc(5), clear_refs)."""
    Path(f"/proc/{process_id}/clear_refs").write_text("5")


def read_processor_seconds(process_id: int) -> float:
    """Return the processor time that a process has taken, in itself and in the system."""
    # The name before it may hold anything.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Program:
    """A process and what it logs."""

    process: "subprocess.Popen[str]"
    log: Output


@contextmanager
def run_program(*arguments: str, settings: Mapping[str, object], until: str | None) -> Iterator[Program]:
    """Run this Python with these arguments while the block lasts, which begins once the log holds a text, if any."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=make_environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        log = Output(process.stderr)
        if until is not None:
            log.wait_for(until)
        yield Program(process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)

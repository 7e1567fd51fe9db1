"""Runs the programs of the stack as separate processes."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.kit.command import make_environment
from tests.kit.output import Output
from tests.kit.threads import PATIENCE_S
from tests.kit.warm_programs import start_program


def read_peak_bytes(process_id: int) -> int:
    """Return the peak memory of a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def forget_peak_bytes(process_id: int) -> None:
    """Reset the peak memory of a process (Linux's proc(5), clear_refs)."""
    Path(f"/proc/{process_id}/clear_refs").write_text("5")


def read_processor_seconds(process_id: int) -> float:
    """Return the processor time of a process, user and system."""
    # The name before the fields may contain anything.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Program:
    """A process and its log."""

    process: BaseProcess
    log: Output

    @property
    def pid(self) -> int:
        """The process id."""
        assert self.process.pid is not None
        return self.process.pid


@contextmanager
def run_program(*arguments: str, settings: Mapping[str, object], until: str | None) -> Iterator[Program]:
    """Run Python with these arguments within the block, which starts once the log contains `until`, if it is set."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "log"
        os.mkfifo(pipe)
        nothing = Path(os.devnull)
        process = start_program(arguments, make_environment(settings), (nothing, nothing, pipe))
        log = Output(pipe.open(encoding="utf-8", errors="surrogateescape"))
    try:
        if until is not None:
            log.wait_for(until)
        yield Program(process, log)
    finally:
        process.terminate()
        process.join(PATIENCE_S)

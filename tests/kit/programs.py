"""Running the programs of the stack as processes of their own."""

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

    process: BaseProcess
    log: Output

    @property
    def pid(self) -> int:
        """Return the process's id."""
        assert self.process.pid is not None
        return self.process.pid


@contextmanager
def run_program(*arguments: str, settings: Mapping[str, object], until: str | None) -> Iterator[Program]:
    """Run this Python with these arguments while the block lasts, which begins once the log holds a text, if any."""
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

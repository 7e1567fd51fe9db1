"""A thread pool that submitters share fairly, so that no submitter's calls block those of all others."""

import contextvars
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits for a thread, and the future of its result."""

    call: Callable[[], Any]
    outcome: "Future[Any]"

    def run(self) -> None:
        """Make the call, unless it was cancelled."""
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            result = self.call()
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(result)


class FairThreads:
    """Runs calls in threads. A submitter may take another thread while it has fewer than there are free ones.

    So the first submitter gets half of the threads, the second a quarter, and so on: even if log2 N submitters keep all
    the threads that they may take, one of N threads is left for the next submitter.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[Call]] = {}
        self._lock = threading.Lock()

    def submit(self, submitter: str, call: Callable[[], Result]) -> "Future[Result]":
        """Run the call as soon as the submitter may take a thread, in a copy of the caller's context, for logs."""
        outcome: Future[Result] = Future()
        call_in_context = partial(contextvars.copy_context().run, call)
        with self._lock:
            self._waiting.setdefault(submitter, deque()).append(Call(call_in_context, outcome))
            self._start_next()
        return outcome

    def stop(self) -> None:
        """Stop the threads; no one may be waiting for a call."""
        with self._lock:
            self._waiting.clear()
        self._executor.shutdown()

    def _start_next(self) -> None:
        while self._waiting:
            # The submitter with the fewest threads goes first.
            submitter = min(self._waiting, key=self._taken.__getitem__)
            if self._taken[submitter] >= self._free:
                return
            calls = self._waiting[submitter]
            next_call = calls.popleft()
            if not calls:
                del self._waiting[submitter]
            self._free -= 1
            self._taken[submitter] += 1
            self._executor.submit(self._run, submitter, next_call)

    def _run(self, submitter: str, call: Call) -> None:
        try:
            call.run()
        finally:
            with self._lock:
                self._free += 1
                self._taken[submitter] -= 1
                if not self._taken[submitter]:
                    del self._taken[submitter]
                self._start_next()

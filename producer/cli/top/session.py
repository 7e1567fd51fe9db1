"""A session of `starlight top`: it updates in the background and handles keys immediately."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from producer.cli.top.access import Access, Snapshot
from producer.cli.top.view import View
from starlight_vocabulary.operations import PauseSubject

YES = "y"


@dataclass(slots=True)
class Question:
    """A question to confirm, and the action after a yes."""

    message: str
    act: Callable[[], object]


@dataclass(slots=True)
class TopSession:
    """The state of the view, of a question, and of running requests, which a background thread makes."""

    access: Access
    view: View = field(default_factory=View)
    _question: Question | None = None
    _looking: "Future[Snapshot] | None" = None
    _acting: "Future[object] | None" = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "top"))

    def close(self) -> None:
        """Cancel requests, without waiting for the running one."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Request the next snapshot, unless a request is running."""
        if self._looking is None:
            self._looking = self._thread.submit(self.access.look)

    def look_and_wait(self) -> None:
        """Update the view now; raises what `Access.look` raises."""
        self.view.see(self._thread.submit(self.access.look).result())

    def collect(self) -> bool:
        """Take the results of requests, and return whether there were any; errors are shown."""
        changed = False
        if self._acting is not None and self._acting.done():
            error = self._acting.exception()
            self.view.message = explain(error) if error else ""
            self._acting, changed = None, True
            self.look()
        if self._looking is not None and self._looking.done():
            error = self._looking.exception()
            if error is None:
                self.view.see(self._looking.result())
            else:
                self.view.message = explain(error)
            self._looking, changed = None, True
        return changed

    def press(self, key: str) -> bool:
        """Handle a key; return False if it quits."""
        if self._question is not None:
            question, self._question = self._question, None
            self.view.message = ""
            if key == YES:
                self._act("…", question.act)
            return True
        self.view.message = ""
        if key == "q":
            return False
        chosen: dict[str, Callable[[], object]] = {
            "up": lambda: self.view.move(-1),
            "down": lambda: self.view.move(1),
            "tab": self.view.turn,
            "s": self._sort,
            "p": self._pause_job,
            "P": self._pause_all,
            "d": self._drain,
            "c": self._cancel,
        }
        chosen.get(key, lambda: None)()
        return True

    def _sort(self) -> None:
        self.view.order = self.view.order.following

    def _pause_job(self) -> None:
        job = self.view.chosen_job
        if job is None:
            self.view.message = "choose a job: Tab"
        else:
            self._pause(PauseSubject(job_id=job.id))

    def _pause_all(self) -> None:
        self._pause(PauseSubject())

    def _pause(self, subject: PauseSubject) -> None:
        pause = self.view.find_pause(subject)
        if pause is None:
            self._act(f"pausing {subject} …", lambda: self.access.pause(subject))
        else:
            self._act(f"resuming {subject} …", lambda: self.access.resume(pause))

    def _drain(self) -> None:
        worker = self.view.chosen_worker
        if worker is None:
            self.view.message = "choose a worker: Tab"
        else:
            draining = not worker.draining
            message = f"asking {worker.name} to {'drain' if draining else 'claim chunks again'} …"
            self._act(message, lambda: self.access.set_draining(worker.name, draining=draining))

    def _cancel(self) -> None:
        job = self.view.chosen_job
        if job is None:
            self.view.message = "choose a job: Tab"
        else:
            self.view.message = f"cancel job {job.id} of {job.submitter}, {job.total - job.finished:,} images left? y/n"
            self._question = Question(self.view.message, lambda: self.access.cancel(job.id))

    def _act(self, message: str, act: Callable[[], object]) -> None:
        if self._acting is None:
            self.view.message = message
            self._acting = self._thread.submit(act)


def explain(error: BaseException) -> str:
    """Return an error as one line."""
    return str(error.__cause__ or error).strip().partition("\n")[0] or type(error).__name__

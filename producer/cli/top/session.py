"""A session of `starlight top`: looks in the background, keys at once."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from producer.cli.top.sources import Snapshot, Source
from producer.cli.top.view import View
from starlight_vocabulary.operations import PauseSubject

YES = "y"


@dataclass(slots=True)
class Question:
    """What is done once somebody says yes, and in words."""

    told: str
    act: Callable[[], object]


@dataclass(slots=True)
class TopSession:
    """One person's look: what is seen, asked and being done; servers are asked in a thread of its own."""

    source: Source
    view: View = field(default_factory=View)
    _question: Question | None = None
    _looking: "Future[Snapshot] | None" = None
    _acting: "Future[object] | None" = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "top"))

    def close(self) -> None:
        """Wait for nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Ask for the next snapshot, unless one is being asked for."""
        if self._looking is None:
            self._looking = self._thread.submit(self.source.look)

    def look_and_wait(self) -> None:
        """See what there is now; raises what the source does."""
        self.view.see(self._thread.submit(self.source.look).result())

    def collect(self) -> bool:
        """Take what has come, and return whether anything has; what went wrong is told."""
        changed = False
        if self._acting is not None and self._acting.done():
            error = self._acting.exception()
            self.view.told = explain(error) if error else ""
            self._acting, changed = None, True
            self.look()
        if self._looking is not None and self._looking.done():
            error = self._looking.exception()
            if error is None:
                self.view.see(self._looking.result())
            else:
                self.view.told = explain(error)
            self._looking, changed = None, True
        return changed

    def press(self, key: str) -> bool:
        """Do what the key says; return False where it says to end."""
        if self._question is not None:
            question, self._question = self._question, None
            self.view.told = ""
            if key == YES:
                self._act("…", question.act)
            return True
        self.view.told = ""
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
            self.view.told = "choose a job: Tab"
        else:
            self._pause(PauseSubject(job_id=job.id))

    def _pause_all(self) -> None:
        self._pause(PauseSubject())

    def _pause(self, subject: PauseSubject) -> None:
        pause = self.view.find_pause(subject)
        if pause is None:
            self._act(f"pausing {subject} …", lambda: self.source.pause(subject))
        else:
            self._act(f"resuming {subject} …", lambda: self.source.resume(pause))

    def _drain(self) -> None:
        worker = self.view.chosen_worker
        if worker is None:
            self.view.told = "choose a worker: Tab"
        else:
            draining = not worker.draining
            told = f"{worker.name} is to {'drain' if draining else 'claim again'} …"
            self._act(told, lambda: self.source.set_draining(worker.name, draining=draining))

    def _cancel(self) -> None:
        job = self.view.chosen_job
        if job is None:
            self.view.told = "choose a job: Tab"
        else:
            self.view.told = f"cancel job {job.id} of {job.submitter}, {job.total - job.finished:,} images left? y/n"
            self._question = Question(self.view.told, lambda: self.source.cancel(job.id))

    def _act(self, told: str, act: Callable[[], object]) -> None:
        if self._acting is None:
            self.view.told = told
            self._acting = self._thread.submit(act)


def explain(error: BaseException) -> str:
    """Return in one line what went wrong."""
    return str(error.__cause__ or error).strip().partition("\n")[0] or type(error).__name__

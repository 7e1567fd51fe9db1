"""Every order of submitting, dispatching, claiming, losing, putting off, finishing and retrying stays consistent."""

import os
import uuid
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, text

from starlight_vocabulary.words import ErrorCode, Outcome, Priority
from storage.audits import audit_jobs
from storage.chunks import Claim, claim_chunk, finish_chunk, lose_chunk, renew_leases
from storage.dispatch import recover_lost_chunk, redate_unclaimed
from storage.failures import RetryError, retry_job
from storage.figures import take_figures
from storage.jobs import cancel_job, list_jobs
from storage.totals import Total
from tests.kit.rows import LEASE_S, execute, expire_leases, make_verdicts, pick_ids, submit_job_of

MAX_LOSSES = 3
# Number of steps per sequence; SEQUENCES=1000 runs more sequences.
EXAMPLES, STEPS = int(os.environ.get("SEQUENCES", "12")), 30
RETRIED = (ErrorCode.EMPTY, ErrorCode.WORKER_CRASH, ErrorCode.CANCELLED)
VERDICTS = "SELECT outcome, error_code, count(*) FROM verdicts GROUP BY outcome, error_code"
LEFT = "SELECT count(*) FROM chunks WHERE state IN ('pending', 'dispatched', 'running')"


class Accounts(RuleBasedStateMachine):
    """The queries in any order, with messages that come late, twice or never, and workers that lost their lease."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[uuid.UUID] = []
        self.messages: list[uuid.UUID] = []
        self.claims: list[Claim] = []

    @initialize()
    def empty(self) -> None:
        execute(self.engine, "TRUNCATE jobs, totals, recent_images CASCADE")

    @rule(images=st.integers(1, 9), submitter=st.sampled_from(["ann", "bob"]))
    def submit(self, images: int, submitter: str) -> None:
        self.jobs.append(submit_job_of(self.engine, images, submitter=submitter))

    @rule(window=st.integers(1, 4))
    def dispatch(self, window: int) -> None:
        self.messages += pick_ids(self.engine, Priority.BULK, window)

    @rule()
    def publish_again(self) -> None:
        self.messages += [chunk.chunk_id for chunk in redate_unclaimed(self.engine, 0)]

    @rule(images=st.integers(1, 9), worker=st.sampled_from(["cpu0", "cpu1"]))
    def submit_and_claim(self, images: int, worker: str) -> None:
        """Do the usual beginning in one step; otherwise, most examples would end before anything is claimed."""
        self.submit(images, "ann")
        self.dispatch(1000)
        for chunk_id in self.messages[-2:]:
            claim = claim_chunk(self.engine, chunk_id, worker, LEASE_S)
            self.claims += [] if claim is None else [claim]

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def lose_a_message(self, data: Any) -> None:
        self.messages.remove(data.draw(st.sampled_from(self.messages)))

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), keep=st.booleans(), worker=st.sampled_from(["cpu0", "cpu1"]))
    def claim(self, data: Any, keep: bool, worker: str) -> None:
        chunk_id = data.draw(st.sampled_from(self.messages))
        if not keep:
            self.messages.remove(chunk_id)
        claim = claim_chunk(self.engine, chunk_id, worker, LEASE_S)
        if claim is not None:
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), forget=st.booleans(), outcome=st.sampled_from(Outcome))
    def finish(self, data: Any, forget: bool, outcome: Outcome) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        finish_chunk(self.engine, claim, make_verdicts(self.engine, claim, outcome))
        if forget:
            self.claims.remove(claim)

    @rule(data=st.data(), fresh=st.booleans(), far=st.booleans())
    def finish_in_part(self, data: Any, fresh: bool, far: bool) -> None:
        if fresh or not self.claims:
            self.submit_and_claim(images=5, worker="cpu0")
        claim = self.claims[-1] if fresh else data.draw(st.sampled_from(self.claims))
        verdicts = make_verdicts(self.engine, claim)
        judged = [verdict for verdict in verdicts if data.draw(st.booleans())]
        finish_chunk(self.engine, claim, judged, 3600.0 if far else 0.0)

    @rule()
    def let_the_time_come(self) -> None:
        execute(self.engine, "UPDATE chunks SET not_before = now() WHERE not_before IS NOT NULL")

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        lose_chunk(self.engine, data.draw(st.sampled_from(self.claims)))

    @precondition(lambda self: self.claims)
    @rule()
    def renew(self) -> None:
        renew_leases(self.engine, self.claims, LEASE_S)

    @rule()
    def let_leases_run_out(self) -> None:
        expire_leases(self.engine)

    @rule()
    def recover(self) -> None:
        recover_lost_chunk(self.engine, MAX_LOSSES, 0.0)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        cancel_job(self.engine, data.draw(st.sampled_from(self.jobs)))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        failed = [job.id for job in list_jobs(self.engine, limit=1000) if job.ended and job.error]
        if not failed:
            cancel_job(self.engine, self.jobs[-1])
        job_id = data.draw(st.sampled_from(failed or self.jobs))
        try:
            self.jobs.append(retry_job(self.engine, job_id, codes=RETRIED, chunk_size=4).job_id)
        except RetryError:
            assert not failed

    @invariant()
    def every_reference_is_finished_or_waiting_and_none_is_both(self) -> None:
        figures = take_figures(self.engine)
        with self.engine.connect() as connection:
            verdicts = connection.execute(text(VERDICTS)).all()
        for outcome in Outcome:
            assert figures.outcomes[outcome] == sum(count for each, _, count in verdicts if each == outcome)
        errors = {code: count for _, code, count in verdicts if code}
        assert figures.totals.by_label(Total.IMAGE_ERRORS, ()) == errors
        assert figures.unaccounted == 0
        assert figures.submitted == sum(figures.outcomes.values()) + sum(figures.waiting.values())
        # Complete lists, because a failing assertion would leave the query open and block the next example for ever.
        audits, jobs = list(audit_jobs(self.engine)), list_jobs(self.engine, limit=1000)
        for audit, job in zip(audits, reversed(jobs), strict=True):
            assert audit.references == job.total
            assert audit.double == 0
            assert audit.counters_agree
            assert audit.missing == job.total - job.finished
            assert job.ended == (job.state in ("done", "cancelled"))

    def teardown(self) -> None:
        """Finish everything that is left, and check that every reference has a verdict."""
        for _ in range(1000):
            self.let_the_time_come()
            while recover_lost_chunk(self.engine, MAX_LOSSES, 0.0):
                pass
            waiting = [chunk.chunk_id for chunk in redate_unclaimed(self.engine, 0)]
            waiting += pick_ids(self.engine, Priority.BULK, 1000)
            for chunk_id in waiting:
                claim = claim_chunk(self.engine, chunk_id, "cpu2", LEASE_S)
                if claim is not None:
                    assert finish_chunk(self.engine, claim, make_verdicts(self.engine, claim))
            with self.engine.connect() as connection:
                if not connection.execute(text(LEFT)).scalar_one():
                    break
            expire_leases(self.engine)
        assert all(audit.exact for audit in list(audit_jobs(self.engine)))


def test_the_accounts_hold_after_every_step(engine: Engine) -> None:
    class OnThisDatabase(Accounts):
        pass

    OnThisDatabase.engine = engine
    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

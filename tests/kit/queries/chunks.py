"""Queries of chunks: dispatching, claiming, finishing, losing and holding them back, and figures of all."""

from starlight_vocabulary.operations import PauseSubject, RequeueRequest
from starlight_vocabulary.words import Priority
from storage.chunks import claim_chunk, lose_chunk, release_chunks, renew_leases
from storage.dispatch import (
    count_expected_messages,
    list_waiting_priorities,
    pick_chunks,
    recover_lost_chunk,
    redate_unclaimed,
)
from storage.draining import is_draining
from storage.figures import take_figures
from storage.lone_chunks import take_lone_chunks
from storage.pauses import list_pauses, pause_chunks
from storage.requeueing import change_priority, requeue_chunks
from storage.unclaimed_chunks import (
    find_waiting_chunk,
    is_ahead,
    leave_held_chunk,
    list_dispatched_chunks,
    postpone_chunk,
)
from storage.waiting import WaitingLimits, find_room
from storage.workers import list_live_workers
from tests.kit.filled_database import SUBMITTER
from tests.kit.query_plans import Query
from tests.kit.rows import LEASE_S

# Leases may have run out, however short the time since PostgreSQL's start is.
NO_LEASE = 0.0

CHUNK_QUERIES: dict[str, Query] = {
    "pick": (
        lambda filled: pick_chunks(filled.engine, Priority.BULK, 16),
        {"ix_jobs_open", "ix_chunks_pending", "ix_chunks_in_flight", "pk_chunks"},
    ),
    "find waiting": (
        lambda filled: find_waiting_chunk(filled.engine, filled.waiting_chunk, "cpu0@here"),
        {"pk_chunks"},
    ),
    "ahead": (lambda filled: is_ahead(filled.engine, SUBMITTER, Priority.BULK), {"ix_chunks_in_flight"}),
    "dispatched": (lambda filled: list_dispatched_chunks(filled.engine, Priority.BULK), {"ix_chunks_in_flight"}),
    "postpone": (lambda filled: postpone_chunk(filled.engine, filled.waiting_chunk, 1.0), {"pk_chunks"}),
    "claim": (
        lambda filled: claim_chunk(filled.engine, filled.waiting_chunk, "cpu0", LEASE_S),
        {"pk_chunks", "pk_jobs", "pk_verdicts"},
    ),
    "renew": (lambda filled: renew_leases(filled.engine, [filled.claim], LEASE_S), {"pk_chunks"}),
    "finish": (lambda filled: filled.finish(), {"pk_chunks", "pk_jobs"}),
    "lose": (lambda filled: lose_chunk(filled.engine, filled.claim), {"pk_chunks"}),
    "release": (lambda filled: release_chunks(filled.engine, [filled.claim]), {"pk_chunks"}),
    "recover": (
        lambda filled: recover_lost_chunk(filled.engine, 3, NO_LEASE),
        {"ix_chunks_in_flight", "pk_chunks", "pk_verdicts"},
    ),
    "take along": (
        lambda filled: take_lone_chunks(filled.engine, filled.waiting_chunk, "cpu0@here 1", LEASE_S),
        {"ix_chunks_pending", "ix_chunks_in_flight", "ix_jobs_open", "pk_chunks", "pk_jobs"},
    ),
    "waiting priorities": (lambda filled: list_waiting_priorities(filled.engine), {"ix_chunks_pending"}),
    "redate": (lambda filled: redate_unclaimed(filled.engine, 0), {"ix_chunks_in_flight"}),
    "in flight": (lambda filled: count_expected_messages(filled.engine), {"ix_chunks_in_flight"}),
    "pause": (
        lambda filled: pause_chunks(filled.engine, PauseSubject(job_id=filled.open_job), "olga"),
        {"ix_chunks_in_flight", "pk_jobs"},
    ),
    "pauses": (lambda filled: list_pauses(filled.engine), {"pk_jobs"}),
    "leave": (lambda filled: leave_held_chunk(filled.engine, filled.waiting_chunk, "cpu0"), {"pk_chunks"}),
    "requeue": (lambda filled: requeue_chunks(filled.engine, RequeueRequest(), "olga"), {"ix_chunks_in_flight"}),
    "requeue a job": (
        lambda filled: requeue_chunks(filled.engine, RequeueRequest(job_id=filled.open_job), "olga"),
        set(),
    ),
    "requeue a worker": (
        lambda filled: requeue_chunks(filled.engine, RequeueRequest(worker="cpu0"), "olga"),
        {"ix_chunks_in_flight"},
    ),
    "priority": (
        lambda filled: change_priority(filled.engine, filled.open_job, Priority.INTERACTIVE, "olga"),
        {"uq_chunks_job_id_first_ordinal", "pk_jobs"},
    ),
    "draining": (lambda filled: is_draining(filled.engine, "cpu0"), set()),
    # Its tables are small, because ended workers are deleted.
    "live workers": (lambda filled: list_live_workers(filled.engine, LEASE_S), set()),
    "figures": (
        lambda filled: take_figures(filled.engine),
        {
            "ix_chunks_pending",
            "ix_chunks_in_flight",
            "pk_verdicts",
            "ix_jobs_open",
            "ix_jobs_unaccounted",
            "ix_webhooks_open",
            "pk_jobs",
        },
    ),
    "quota": (lambda filled: find_room(filled.engine, SUBMITTER, WaitingLimits(1, 1)), {"ix_jobs_open"}),
}

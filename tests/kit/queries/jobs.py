"""Queries of jobs and what belongs to them: seals, blobs, webhooks, keys, operations and canaries."""

from datetime import timedelta
from itertools import islice

from starlight_vocabulary.job import JobOptions
from starlight_vocabulary.words import Outcome
from storage.audits import audit_jobs
from storage.canaries import begin_round, count_answers, delete_abandoned_canaries, end_round, read_canaries
from storage.failures import list_retries, retry_job
from storage.jobs import cancel_job, count_finished, get_job, list_jobs
from storage.keys import find_key, revoke_key
from storage.operations import list_operations
from storage.rescans import Rescanning, list_rescans
from storage.retention import delete_released_blobs, end_expired_uploads, end_retention
from storage.schema.work import KeptBlobs
from storage.seals import seal_ended_jobs
from storage.submission import submit_job
from storage.verdict_search import VerdictFilter
from storage.verification import list_sealed_jobs, verify_job
from storage.webhooks import claim_webhook, get_webhook, list_webhooks, redeliver
from tests.kit.filled_database import JOBS, SUBMITTER
from tests.kit.query_plans import Query

# Half of the jobs, of which there is one a minute, keep only evidence; the retention of a few more has ended.
RETENTION = timedelta(minutes=JOBS // 2 - 10)
KEY = f"starlight_{7:012}_secret"
AGAIN = JobOptions(idempotency_key="key 20")

JOB_QUERIES: dict[str, Query] = {
    "newer jobs": (lambda filled: list_jobs(filled.engine, after=filled.ended_job), {"pk_jobs"}),
    "submit again": (
        lambda filled: submit_job(filled.engine, [], AGAIN, submitter="submitter 1"),
        {"uq_jobs_submitter_idempotency_key"},
    ),
    "retry": (lambda filled: retry_job(filled.engine, filled.ended_job), {"pk_jobs"}),
    "rescans": (lambda filled: list_rescans(filled.engine, filled.ended_job), {"ix_jobs_rescan_of"}),
    "rescan": (
        lambda filled: next(
            Rescanning(filled.engine, [filled.model_id], VerdictFilter(outcome=Outcome.STEGO)).submit_all()
        ),
        {"pk_jobs", "ix_verdicts_landed"},
    ),
    "rescan again": (
        lambda filled: filled.find_made(),
        {"pk_jobs", "uq_jobs_submitter_idempotency_key"},
    ),
    "retries": (lambda filled: list_retries(filled.engine, filled.ended_job), {"ix_jobs_retry_of"}),
    "cancel": (
        lambda filled: cancel_job(filled.engine, filled.open_job),
        {"uq_chunks_job_id_first_ordinal", "pk_jobs"},
    ),
    "audit": (
        lambda filled: list(audit_jobs(filled.engine, [filled.ended_job])),
        {"uq_chunks_job_id_first_ordinal", "pk_verdicts", "pk_jobs"},
    ),
    "seal": (
        lambda filled: seal_ended_jobs(filled.engine),
        {"ix_jobs_unsealed", "pk_jobs", "pk_verdicts", "pk_provenance", "pk_seal_pieces"},
    ),
    "verify": (
        lambda filled: verify_job(filled.engine, filled.ended_job),
        {"pk_jobs", "pk_seals", "pk_seal_pieces", "pk_verdicts", "pk_provenance"},
    ),
    "sealed jobs": (lambda filled: next(list_sealed_jobs(filled.engine)), {"pk_jobs"}),
    "job": (lambda filled: get_job(filled.engine, filled.ended_job), {"pk_jobs"}),
    "progress": (lambda filled: count_finished(filled.engine, [filled.ended_job]), {"pk_jobs"}),
    "newest jobs": (lambda filled: list_jobs(filled.engine), {"pk_jobs"}),
    "jobs of a submitter": (lambda filled: list_jobs(filled.engine, submitter=SUBMITTER), {"pk_jobs"}),
    "open jobs": (lambda filled: list_jobs(filled.engine, only_open=True), {"ix_jobs_open"}),
    # The indexes that detect conflicts do not appear in plans.
    "keep a blob": (lambda filled: filled.upload(b"image"), set()),
    "end retention": (
        lambda filled: end_retention(filled.engine, KeptBlobs.ALL, KeptBlobs.EVIDENCE, RETENTION),
        {"ix_jobs_kept_blobs", "pk_jobs", "pk_job_blobs", "pk_blobs", "ix_verdicts_bytes"},
    ),
    "expired uploads": (lambda filled: end_expired_uploads(filled.engine), {"pk_job_blobs", "pk_blobs"}),
    "delete blobs": (
        lambda filled: list(islice(delete_released_blobs(filled.engine, filled.blobs), 1)),
        {"ix_blobs_released_at", "pk_blobs", "ix_job_blobs_sha256"},
    ),
    "claim a webhook": (
        lambda filled: claim_webhook(filled.engine, 60),
        {"ix_webhooks_open", "pk_jobs", "pk_webhooks"},
    ),
    "webhook": (lambda filled: get_webhook(filled.engine, filled.ended_job), {"pk_webhooks"}),
    "webhooks": (lambda filled: list_webhooks(filled.engine, 30), {"pk_webhooks", "ix_webhooks_open", "pk_jobs"}),
    "redeliver": (lambda filled: redeliver(filled.engine, filled.ended_job, "olga"), {"pk_webhooks"}),
    "key": (lambda filled: find_key(filled.engine, KEY), {"pk_api_keys"}),
    "revoke": (lambda filled: revoke_key(filled.engine, SUBMITTER), {"uq_api_keys_name"}),
    "operations": (lambda filled: list_operations(filled.engine, 20), {"pk_operations"}),
    "canaries": (lambda filled: read_canaries(filled.engine), {"pk_canary_rounds", "ix_canary_rounds_result"}),
    "answers of canaries": (lambda filled: count_answers(filled.engine), {"pk_canary_rounds"}),
    "abandoned canaries": (lambda filled: delete_abandoned_canaries(filled.engine), {"ix_jobs_canary"}),
    "begin a round of canaries": (
        lambda filled: begin_round(filled.engine, 1, 0.0),
        {"uq_canary_rounds_open", "pk_canary_rounds"},
    ),
    "end a round of canaries": (
        lambda filled: end_round(filled.engine, 1, filled.ended_job, []),
        {"uq_canary_rounds_open", "ix_canary_rounds_result", "pk_jobs", "pk_job_blobs", "pk_blobs"},
    ),
}

"""Queries of verdicts: pages, searches, recalled and exported ones."""

from datetime import UTC, datetime, timedelta

from starlight_vocabulary.words import ErrorCode, Method, Outcome
from storage.comparisons import compare_models
from storage.drift import sample_probabilities
from storage.exports import list_oldest_first
from storage.failures import count_failures, list_recent_failures
from storage.provenance import find_provenance
from storage.reuse import recall_verdicts
from storage.verdict_search import VerdictFilter
from storage.verdicts import list_between, list_landed
from tests.kit.filled_database import SUBMITTER
from tests.kit.query_plans import Query

VERDICT_QUERIES: dict[str, Query] = {
    "landed": (lambda filled: list_landed(filled.engine, filled.ended_job), {"ix_verdicts_landed", "pk_jobs"}),
    "between": (lambda filled: list_between(filled.engine, filled.ended_job, 5, 8), {"pk_verdicts", "pk_jobs"}),
    "verdicts of a job": (lambda filled: filled.find(job_id=filled.ended_job), {"pk_verdicts"}),
    "provenance": (
        lambda filled: find_provenance(filled.engine, filled.ended_job, 5),
        {"pk_verdicts", "pk_jobs", "pk_provenance", "uq_chunks_job_id_first_ordinal"},
    ),
    "newest verdicts": (lambda filled: filled.find(), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "second page": (lambda filled: filled.find(filled.position), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "previous page": (lambda filled: filled.look_back(), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "previous page of a job": (lambda filled: filled.look_back(job_id=filled.ended_job), {"pk_verdicts"}),
    "verdicts since": (
        lambda filled: filled.find(since=filled.position.scanned_at),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "verdicts by bytes": (lambda filled: filled.find(sha256=filled.digest.hex()), {"ix_verdicts_bytes"}),
    "verdicts by submitter": (lambda filled: filled.find(submitter=SUBMITTER), {"ix_verdicts_scanned_at", "pk_jobs"}),
    # One image in twenty is stego, so reading the newest verdicts finds a page of them soonest.
    "newest stego": (lambda filled: filled.find(outcome=Outcome.STEGO), {"ix_verdicts_scanned_at", "pk_jobs"}),
    "second page of stego": (
        lambda filled: filled.find(filled.position, outcome=Outcome.STEGO),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "rare method": (lambda filled: filled.find(method=Method.EXIF), {"ix_verdicts_found", "pk_jobs"}),
    "words of messages": (lambda filled: filled.find(words="rare"), {"ix_verdicts_words", "pk_jobs"}),
    "a part of messages": (lambda filled: filled.show(part="requ"), {"ix_verdicts_messages", "pk_jobs"}),
    "verdicts by a frequent probability": (
        lambda filled: filled.find(min_probability=0.85),
        {"ix_verdicts_probable", "ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "verdicts by a rare probability": (
        lambda filled: filled.find(min_probability=0.5, max_probability=0.6),
        {"ix_verdicts_probable", "pk_jobs"},
    ),
    "verdicts by error": (
        lambda filled: filled.show(outcome=Outcome.ERROR, error_codes=[ErrorCode.UNAVAILABLE]),
        {"ix_verdicts_errors", "pk_jobs"},
    ),
    "verdict of an inscription": (
        lambda filled: filled.find(inscription=f"{'0' * 64}:i0"),
        {"ix_verdicts_inscription"},
    ),
    "verdicts of a transaction": (lambda filled: filled.find(inscription="0" * 64), {"ix_verdicts_inscription"}),
    "recall": (
        lambda filled: recall_verdicts(
            filled.engine,
            filled.model_id,
            [filled.digest] * 64,
            None,
            SUBMITTER,
            max_message_bytes=10,
            within=timedelta(days=9),
        ),
        {"ix_verdicts_bytes"},
    ),
    "failures": (lambda filled: count_failures(filled.engine, VerdictFilter()), {"ix_verdicts_found"}),
    # One image in twenty has this error, too.
    "recent failures": (lambda filled: list_recent_failures(filled.engine, 1000), {"ix_verdicts_errors"}),
    "drift": (lambda filled: sample_probabilities(filled.engine), {"ix_verdicts_scanned_at"}),
    "compare": (
        lambda filled: compare_models(
            filled.engine, [filled.model_id], [filled.model_id], since=datetime.now(UTC) - timedelta(hours=1)
        ),
        {"ix_verdicts_scanned_at", "pk_verdicts"},
    ),
    "export": (
        lambda filled: next(list_oldest_first(filled.engine, VerdictFilter(), filled.position)),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
}

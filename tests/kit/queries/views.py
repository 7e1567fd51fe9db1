"""Queries of analysts' views."""

from tests.kit.query_plans import Query

COMPARED = """
    SELECT agrees, count(*) FROM model_comparison
    WHERE scanned_at >= :time AND scanned_at < :time + interval '1 day' GROUP BY agrees
"""

VIEW_QUERIES: dict[str, Query] = {
    "view of verdicts by bytes": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes", "pk_jobs"},
    ),
    "view of an inscription": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE inscription = :name", name=f"{'0' * 64}:i0"),
        {"ix_verdicts_inscription", "pk_jobs"},
    ),
    "view of a part of the name of an inscription": (
        lambda filled: filled.ask("SELECT * FROM verdict WHERE inscription LIKE 'c748a10a%'"),
        {"ix_verdicts_inscription", "pk_jobs"},
    ),
    "view of verdicts of a job": (
        lambda filled: filled.ask(
            "SELECT * FROM verdict WHERE job_id = :id ORDER BY ordinal LIMIT 9", id=filled.ended_job
        ),
        {"pk_verdicts", "pk_jobs"},
    ),
    "view of newest stego verdicts": (
        lambda filled: filled.ask(
            "SELECT * FROM verdict WHERE outcome = 'stego' AND scanned_at < :time ORDER BY scanned_at DESC LIMIT 100",
            time=filled.position.scanned_at,
        ),
        {"ix_verdicts_scanned_at", "pk_jobs"},
    ),
    "view of newest jobs": (
        lambda filled: filled.ask("SELECT * FROM job_summary ORDER BY job_id DESC LIMIT 100"),
        {"pk_jobs"},
    ),
    "view of a day": (
        lambda filled: filled.ask("SELECT * FROM daily_verdicts WHERE day = :day", day=filled.position.scanned_at),
        {"ix_verdicts_scanned_at"},
    ),
    "view of an image": (
        lambda filled: filled.ask("SELECT * FROM image_history WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes", "pk_jobs"},
    ),
    "view of methods of a day": (
        lambda filled: filled.ask("SELECT * FROM method_by_submitter WHERE day = :day", day=filled.position.scanned_at),
        {"pk_jobs"},
    ),
    "view of models on an image": (
        lambda filled: filled.ask("SELECT * FROM model_comparison WHERE sha256 = :sha256", sha256=filled.digest),
        {"ix_verdicts_bytes"},
    ),
    "view of models in a job": (
        lambda filled: filled.ask("SELECT * FROM model_comparison WHERE job_id = :id", id=filled.ended_job),
        {"ix_verdicts_bytes"},
    ),
    "view of models of a day": (
        lambda filled: filled.ask(COMPARED, time=filled.position.scanned_at),
        {"ix_verdicts_scanned_at", "ix_verdicts_bytes"},
    ),
}

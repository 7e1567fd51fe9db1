"""The views that analysts read; docs/analysts.md explains every column."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MODEL = "models.name || '-' || models.version || '@sha256:' || models.sha256"
VERDICT = f"""
    CREATE VIEW verdict AS
    SELECT verdicts.job_id, verdicts.ordinal, jobs.name AS job_name, jobs.submitter, verdicts.uri, verdicts.sha256,
        verdicts.outcome,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome = 'stego' END AS is_stego,
        verdicts.stego_probability, greatest(verdicts.stego_probability, 1 - verdicts.stego_probability) AS confidence,
        CASE WHEN verdicts.stego_probability IS NOT NULL THEN verdicts.outcome END AS prediction,
        verdicts.method AS stego_type, verdicts.bit_order, verdicts.extracted_message, verdicts.error_code,
        verdicts.error_detail, {MODEL} AS model,
        CASE WHEN models.id IS NOT NULL THEN coalesce(jobs.threshold, models.threshold) END AS threshold,
        verdicts.width, verdicts.height, verdicts.format, verdicts.size_bytes, verdicts.reused, verdicts.scanned_at,
        verdicts.payload
    FROM verdicts JOIN jobs ON jobs.id = verdicts.job_id LEFT JOIN models ON models.id = verdicts.model_id
"""
JOB_SUMMARY = """
    CREATE VIEW job_summary AS
    SELECT id AS job_id, name AS job_name, submitter, priority, state, total, clean, stego, error,
        total - clean - stego - error AS waiting, threshold, retry_of, created_at, started_at, finished_at,
        seconds, 60 * (clean + stego + error) / nullif(seconds, 0) AS images_per_minute
    FROM jobs, LATERAL (
        SELECT CAST(extract(epoch FROM coalesce(finished_at, now()) - started_at) AS float8) AS seconds
    ) AS lasted
"""
# A day is looked up by the index on `scanned_at`: as an expression of it, it would need an index of its own. Days of
# UTC have 24 hours; what an interval of one day is depends on the session's time zone.
DAYS = """
    generate_series(
        (SELECT date_trunc('day', min(scanned_at), 'UTC') FROM verdicts), (SELECT max(scanned_at) FROM verdicts),
        interval '24 hours'
    ) AS days (midnight)
"""
WITHIN_DAY = "scanned_at >= days.midnight AND scanned_at < days.midnight + interval '24 hours'"
DAY = "CAST(days.midnight AT TIME ZONE 'UTC' AS date) AS day"
DAILY_VERDICTS = f"""
    CREATE VIEW daily_verdicts AS
    SELECT {DAY}, counted.outcome, counted.method AS stego_type, counted.error_code, {MODEL} AS model,
        counted.verdicts, counted.reused
    FROM {DAYS} CROSS JOIN LATERAL (
        SELECT outcome, method, error_code, model_id, count(*) AS verdicts, count(*) FILTER (WHERE reused) AS reused
        FROM verdicts WHERE {WITHIN_DAY} GROUP BY outcome, method, error_code, model_id
    ) AS counted LEFT JOIN models ON models.id = counted.model_id
"""
IMAGE_HISTORY = f"""
    CREATE VIEW image_history AS
    SELECT verdicts.sha256, row_number() OVER earlier AS nth, verdicts.job_id, verdicts.ordinal, jobs.submitter,
        verdicts.uri, verdicts.outcome, lag(verdicts.outcome) OVER earlier AS previous_outcome,
        verdicts.stego_probability, verdicts.method AS stego_type, verdicts.extracted_message, verdicts.error_code,
        {MODEL} AS model, verdicts.reused, verdicts.scanned_at
    FROM verdicts JOIN jobs ON jobs.id = verdicts.job_id LEFT JOIN models ON models.id = verdicts.model_id
    WHERE verdicts.sha256 IS NOT NULL
    WINDOW earlier AS (PARTITION BY verdicts.sha256 ORDER BY verdicts.scanned_at, verdicts.job_id, verdicts.ordinal)
"""
METHOD_BY_SUBMITTER = f"""
    CREATE VIEW method_by_submitter AS
    SELECT {DAY}, counted.submitter, counted.method AS stego_type, counted.verdicts, counted.files, counted.messages
    FROM {DAYS} CROSS JOIN LATERAL (
        SELECT jobs.submitter, method, count(*) AS verdicts, count(DISTINCT sha256) AS files,
            count(extracted_message) AS messages
        FROM verdicts JOIN jobs ON jobs.id = verdicts.job_id
        WHERE outcome = 'stego' AND {WITHIN_DAY} GROUP BY jobs.submitter, method
    ) AS counted
"""
# Two verdicts of one transaction have the same time: the key decides which is the earlier one.
MODEL_COMPARISON = f"""
    CREATE VIEW model_comparison AS
    SELECT verdicts.sha256, verdicts.job_id, verdicts.ordinal, verdicts.uri, verdicts.scanned_at, {MODEL} AS model,
        verdicts.outcome, verdicts.stego_probability, verdicts.method AS stego_type,
        earlier.job_id AS earlier_job_id, earlier.ordinal AS earlier_ordinal, earlier.scanned_at AS earlier_scanned_at,
        {MODEL.replace("models.", "others.")} AS earlier_model, earlier.outcome AS earlier_outcome,
        earlier.stego_probability AS earlier_stego_probability, earlier.method AS earlier_stego_type,
        verdicts.outcome = earlier.outcome AND verdicts.method IS NOT DISTINCT FROM earlier.method AS agrees
    FROM verdicts JOIN models ON models.id = verdicts.model_id CROSS JOIN LATERAL (
        SELECT DISTINCT ON (others.model_id) others.*
        FROM verdicts AS others
        WHERE others.sha256 = verdicts.sha256 AND others.model_id <> verdicts.model_id AND others.outcome <> 'error'
            AND (others.scanned_at, others.job_id, others.ordinal)
                < (verdicts.scanned_at, verdicts.job_id, verdicts.ordinal)
        ORDER BY others.model_id, others.scanned_at DESC, others.job_id DESC, others.ordinal DESC
    ) AS earlier JOIN models AS others ON others.id = earlier.model_id
    WHERE verdicts.outcome <> 'error'
"""
VIEWS = {
    "verdict": VERDICT,
    "job_summary": JOB_SUMMARY,
    "daily_verdicts": DAILY_VERDICTS,
    "image_history": IMAGE_HISTORY,
    "method_by_submitter": METHOD_BY_SUBMITTER,
    "model_comparison": MODEL_COMPARISON,
}


def upgrade() -> None:
    for statement in VIEWS.values():
        op.execute(statement)


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")

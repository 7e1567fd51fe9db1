"""The view of two models' verdicts as joins, which several processes may answer."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

MODEL = "models.name || '-' || models.version || '@sha256:' || models.sha256"
NO_CANARY = "job_id <> ALL (ARRAY(SELECT jobs.id FROM jobs WHERE jobs.canary))"
# Two verdicts of one transaction have the same time: the key decides which is the earlier one. Bytes are compared with
# an array of one, which only an index answers: with `=`, the planner would rather read all verdicts once than look some
# hundred thousand up, though most are not to be read at all.
MODEL_COMPARISON = f"""
    CREATE OR REPLACE VIEW model_comparison AS
    SELECT verdicts.sha256, verdicts.job_id, verdicts.ordinal, verdicts.uri, verdicts.scanned_at, {MODEL} AS model,
        verdicts.outcome, verdicts.stego_probability, verdicts.method AS stego_type,
        earlier.job_id AS earlier_job_id, earlier.ordinal AS earlier_ordinal, earlier.scanned_at AS earlier_scanned_at,
        {MODEL.replace("models.", "others.")} AS earlier_model, earlier.outcome AS earlier_outcome,
        earlier.stego_probability AS earlier_stego_probability, earlier.method AS earlier_stego_type,
        verdicts.outcome = earlier.outcome AND verdicts.method IS NOT DISTINCT FROM earlier.method AS agrees
    FROM verdicts JOIN models ON models.id = verdicts.model_id
        JOIN verdicts AS earlier ON earlier.sha256 = ANY (ARRAY[verdicts.sha256])
            AND earlier.model_id <> verdicts.model_id
            AND (earlier.scanned_at, earlier.job_id, earlier.ordinal)
                < (verdicts.scanned_at, verdicts.job_id, verdicts.ordinal)
        JOIN models AS others ON others.id = earlier.model_id
    WHERE verdicts.outcome <> 'error' AND earlier.outcome <> 'error'
        AND verdicts.{NO_CANARY} AND earlier.{NO_CANARY}
        AND NOT EXISTS (
            SELECT FROM verdicts AS newer
            WHERE newer.sha256 = ANY (ARRAY[earlier.sha256]) AND newer.model_id = earlier.model_id
                AND newer.outcome <> 'error'
                AND (newer.scanned_at, newer.job_id, newer.ordinal)
                    > (earlier.scanned_at, earlier.job_id, earlier.ordinal)
                AND (newer.scanned_at, newer.job_id, newer.ordinal)
                    < (verdicts.scanned_at, verdicts.job_id, verdicts.ordinal)
        )
"""


def upgrade() -> None:
    op.execute(MODEL_COMPARISON)


def downgrade() -> None:
    op.execute(read_view_before())


def read_view_before() -> str:
    """Return the statement that makes the view as 0014 did and 0017, which left canaries out."""
    script = op.get_context().script
    assert script is not None
    whole, without_canaries = script.get_revision("0017").module.LEFT_OUT["model_comparison"]
    statement: str = script.get_revision("0014").module.VIEWS["model_comparison"]
    return statement.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").replace(whole, without_canaries)

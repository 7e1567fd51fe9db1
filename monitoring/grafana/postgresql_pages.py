"""The dashboard for analysts, on PostgreSQL."""

from monitoring.grafana.pages import DataSource, Page, Panel, Query, Unit

NO_CANARY = "job_id <> ALL (ARRAY(SELECT id FROM jobs WHERE canary))"

ANALYSTS = Page(
    "starlight-analysts",
    "Starlight: verdicts",
    (
        Panel(
            "Latest stego verdicts",
            Unit.COUNT,
            (
                Query(f"""
                    SELECT scanned_at, method, round(stego_probability::numeric, 3) AS stego_probability, uri, job_id
                    FROM verdicts WHERE outcome = 'stego' AND {NO_CANARY} AND $__timeFilter(scanned_at)
                    ORDER BY scanned_at DESC LIMIT 100
                """),
            ),
        ),
        Panel(
            "Stego verdicts, by method and format",
            Unit.COUNT,
            (
                Query(f"""
                    SELECT method, format, count(*) AS images FROM verdicts
                    WHERE outcome = 'stego' AND {NO_CANARY} AND $__timeFilter(scanned_at)
                    GROUP BY method, format ORDER BY images DESC LIMIT 100
                """),
            ),
        ),
        Panel(
            "Errors, by code",
            Unit.COUNT,
            (
                Query(f"""
                    SELECT error_code, count(*) AS images, min(uri) AS example FROM verdicts
                    WHERE outcome = 'error' AND {NO_CANARY} AND $__timeFilter(scanned_at)
                    GROUP BY error_code ORDER BY images DESC
                """),
            ),
        ),
        Panel(
            "Jobs",
            Unit.COUNT,
            (
                Query("""
                    SELECT created_at, name, submitter, priority, state, total, clean, stego, error,
                        finished_at - created_at AS took
                    FROM jobs WHERE NOT canary AND $__timeFilter(created_at) ORDER BY created_at DESC LIMIT 100
                """),
            ),
        ),
        Panel(
            "By model",
            Unit.COUNT,
            (
                Query(f"""
                    SELECT models.name, models.version, count(*) AS images,
                        round(avg((outcome = 'stego')::int)::numeric, 4) AS stego_share
                    FROM verdicts JOIN models ON models.id = model_id
                    WHERE {NO_CANARY} AND $__timeFilter(scanned_at)
                    GROUP BY models.name, models.version ORDER BY images DESC
                """),
            ),
        ),
    ),
    source=DataSource.POSTGRESQL,
)

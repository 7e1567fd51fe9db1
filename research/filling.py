"""Fills an empty database quickly with made-up verdicts, to measure queries at scale: `scripts/fill_verdicts N`.

A job has `JOB_IMAGES` images; jobs are spread evenly over the last days. The number of an image determines its
outcome: 2 % are errors, 5 % are stego. One job in ten has images from the Bitcoin chain, and one in ten rescans an
earlier job with a newer model, which judges one image in a hundred differently. Jobs have no chunks, so that
references are not stored twice.
"""

import argparse
from datetime import timedelta
from itertools import pairwise

from sqlalchemy import Engine, text

from storage.database import connect
from storage.embedded.servers import provide_servers
from storage.models import register_model
from storage.partitions import create_partition, find_lowest_id, list_partitions
from storage.schema_version import upgrade_schema
from storage.settings import read_settings

JOB_IMAGES = 1000
SUBMITTERS = 20
DAYS = 30
# Jobs stored in one transaction.
JOBS_AT_ONCE = 200
OLDER, NEWER = "v4", "v5"

# Inserts a range of jobs and their verdicts; COUNT sets the counters of all jobs afterwards.
FILL = text("""
    WITH numbered AS (
        SELECT number, uuidv7(age) AS id, now() + age AS finished_at,
            CASE WHEN number % 10 = 9 THEN number - 5 ELSE number END AS same_as,
            CASE WHEN number % 10 = 9 THEN CAST(:newer AS int) ELSE :older END AS model_id,
            least(:job_images, :verdicts - number * CAST(:job_images AS bigint)) AS total
        FROM generate_series(CAST(:first AS int), :last) AS number,
            make_interval(secs => (number + 1 - CAST(:jobs AS int)) * :days * 86400.0 / :jobs) AS age
    ), stored AS (
        INSERT INTO jobs (id, name, submitter, priority, state, total, created_at, started_at, finished_at)
        SELECT id, 'filled ' || number, 'submitter ' || 1 + number % :submitters, 'bulk', 'done', total,
            finished_at - interval '20 seconds', finished_at - interval '10 seconds', finished_at
        FROM numbered
    ), images AS (
        SELECT id, ordinal, model_id, finished_at, number % :submitters AS folder,
            same_as * CAST(:job_images AS bigint) + ordinal AS image, same_as % 10 = 3 AS inscribed
        FROM numbered, generate_series(0, total - 1) AS ordinal
    ), drawn AS (
        SELECT *, (hashint8extended(image, 1) & 1048575) / 1048576.0 AS chance,
            (hashint8extended(image, model_id) & 1048575) / 1048576.0 < 0.01 AS seen_otherwise,
            hashint8extended(image, 2) & 1023 AS variety
        FROM images
    ), judged AS (
        SELECT *, CASE WHEN chance < 0.02 THEN 'error' WHEN (chance < 0.07) <> seen_otherwise THEN 'stego'
            ELSE 'clean' END AS outcome
        FROM drawn
    ), recorded AS (
        INSERT INTO provenance (job_id, landed, worker, code_version, attempt)
        SELECT id, 0, 'cpu0@made-up', '0', 1 FROM numbered
    )
    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, sha256, stego_probability, method, bit_order,
        extracted_message, error_code, error_detail, model_id, width, height, format, size_bytes, reused, scanned_at)
    SELECT id, ordinal, 0,
        CASE WHEN inscribed THEN format(
            'blob://%s/bitcoin\\:%s\\:i%s', encode(sha256(int8send(image)), 'hex'),
            encode(sha256(int8send(image / 10)), 'hex'), image % 10
        ) ELSE format('file:///images/%s/%s.png', folder, image) END, outcome,
        CASE WHEN outcome <> 'error' THEN sha256(int8send(image)) END,
        CASE outcome WHEN 'stego' THEN 0.9 + variety / 20000.0 WHEN 'clean' THEN variety / 2000.0 END,
        CASE WHEN outcome = 'stego' THEN (ARRAY['alpha', 'palette', 'lsb.rgb', 'raw', 'exif'])[1 + variety % 5] END,
        CASE WHEN outcome = 'stego' THEN CASE WHEN variety % 5 > 2 THEN 'none' ELSE 'lsb-first' END END,
        CASE WHEN outcome = 'stego' AND variety % 4 > 0
            THEN format('meet me at %s by the %s', variety % 24, (ARRAY['bridge', 'mill', 'ferry'])[1 + variety % 3])
                || CASE WHEN variety % 16 = 1 THEN ' no. ' || image ELSE '' END
        END,
        CASE WHEN outcome = 'error' THEN (ARRAY['not_found', 'corrupt', 'too_large'])[1 + variety % 3] END,
        CASE WHEN outcome = 'error' THEN 'made up' END, CASE WHEN outcome <> 'error' THEN model_id END,
        640, 480, 'PNG', 100000 + variety, false, finished_at
    FROM judged ORDER BY id, ordinal
""")
COUNT = text("""
    UPDATE jobs SET clean = counted.clean, stego = counted.stego, error = counted.error
    FROM (
        SELECT job_id, count(*) FILTER (WHERE outcome = 'clean') AS clean,
            count(*) FILTER (WHERE outcome = 'stego') AS stego, count(*) FILTER (WHERE outcome = 'error') AS error
        FROM verdicts GROUP BY job_id
    ) AS counted WHERE id = job_id
""")
NOW = text("SELECT now()")
IS_EMPTY = text("SELECT NOT EXISTS (SELECT FROM jobs)")


class NotEmptyError(Exception):
    """The database has jobs: made-up verdicts must not mix with real ones."""


def fill_verdicts(engine: Engine, verdicts: int, days: float = DAYS, partitions: int = 1) -> None:
    """Store this number of made-up verdicts with their jobs and two models; raises NotEmptyError."""
    with engine.connect() as connection:
        if not connection.execute(IS_EMPTY).scalar_one():
            raise NotEmptyError("this database has jobs: use an empty one, for example with a new STARLIGHT_DATA_DIR")
    if partitions > 1:
        cut_partitions(engine, partitions, days)
    older, newer = (
        register_model(engine, name=name, version="0", sha256=digit * 64, threshold=0.5)
        for name, digit in ((OLDER, "0"), (NEWER, "1"))
    )
    jobs = -(-verdicts // JOB_IMAGES)
    for first in range(0, jobs, JOBS_AT_ONCE):
        with engine.begin() as connection:
            connection.execute(
                FILL,
                {
                    "first": first, "last": min(first + JOBS_AT_ONCE, jobs) - 1, "jobs": jobs, "verdicts": verdicts,
                    "days": days, "job_images": JOB_IMAGES, "submitters": SUBMITTERS, "older": older, "newer": newer,
                },
            )  # fmt: skip
    with engine.begin() as connection:
        connection.execute(COUNT)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # Index-only scans need an up-to-date visibility map.
        connection.execute(text("VACUUM ANALYZE"))


def cut_partitions(engine: Engine, partitions: int, days: float) -> None:
    """Split the first partition of an empty database into `partitions` of equal length over the last `days`."""
    with engine.begin() as connection:
        first, following, *_ = list_partitions(connection)
        now = connection.execute(NOW).scalar_one()
        cuts = [find_lowest_id(now - timedelta(days=days * part / partitions)) for part in range(partitions - 1, 0, -1)]
        connection.execute(text(f"ALTER TABLE verdicts DETACH PARTITION {first.name}"))
        connection.execute(text(f"DROP TABLE {first.name}"))
        edges = ["MINVALUE", *(f"'{cut}'" for cut in cuts), f"'{first.end}'"]
        for number, (start, end) in enumerate(pairwise(edges)):
            create_partition(
                connection, f"verdicts_part_{number}", f"FOR VALUES FROM ({start}) TO ({end})", like=following.name
            )


def main() -> None:
    """Fill the configured database, or the embedded one of the data folder."""
    parser = argparse.ArgumentParser(description="Fill an empty database with made-up verdicts.")
    parser.add_argument("verdicts", type=int, help="number of verdicts")
    parser.add_argument("--partitions", type=int, default=1, help="number of partitions (%(default)s)")
    parser.add_argument("--days", type=float, default=DAYS, help="age of the oldest verdict in days (%(default)s)")
    arguments = parser.parse_args()
    if arguments.verdicts < 1 or arguments.days <= 0 or arguments.partitions < 1:
        parser.error("VERDICTS and --partitions must be at least 1, --days more than 0")
    with provide_servers(read_settings()) as servers:
        engine = connect(servers.database_url)
        upgrade_schema(engine)
        try:
            fill_verdicts(engine, arguments.verdicts, arguments.days, arguments.partitions)
        except NotEmptyError as error:
            parser.error(str(error))
        finally:
            engine.dispose()
    print(f"stored {arguments.verdicts:,} verdicts")


if __name__ == "__main__":
    main()

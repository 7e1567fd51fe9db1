"""A database like that of a busy installation: nearly all of its jobs have ended, and it is analysed."""

from typing import Any

from sqlalchemy import Engine, text

from research.filling import cut_partitions
from starlight_vocabulary.rescan import Rescan
from starlight_vocabulary.verdict import Verdict
from starlight_vocabulary.words import Outcome, Priority
from storage.blobs import Blobs
from storage.chunks import Claim, finish_chunk
from storage.new_verdict import NewVerdict
from storage.rescans import find_made
from storage.storage_limits import StorageLimits
from storage.uploads import Upload
from storage.verdict_search import Position, VerdictFilter, find_previous, find_verdicts
from storage.verdicts import PAGE
from tests.kit.rows import execute, register_v4

JOBS, OPEN_JOBS, CHUNKS_PER_JOB, IMAGES_PER_CHUNK = 10_000, 30, 2, 10
IMAGES_PER_JOB = CHUNKS_PER_JOB * IMAGES_PER_CHUNK
STEGO_ORDINAL, ERROR_ORDINAL, INSCRIBED_ORDINAL = 7, 13, 15
SUBMITTERS = 20
SUBMITTER = "submitter 7"
BLOBS_PER_JOB = 5
SHOWN = 50

# A job a minute. Of the last ones, which are open, the first chunk runs, has a message or waits, and the second waits.
FILL = f"""
    INSERT INTO api_keys (prefix, name, sha256, scopes, revoked_at)
    SELECT lpad(number::text, 12, '0'), 'submitter ' || number, sha256(number::text::bytea), ARRAY['read'],
        CASE WHEN number > {SUBMITTERS} THEN now() END
    FROM generate_series(1, {JOBS}) AS number;

    INSERT INTO jobs (id, submitter, idempotency_key, priority, state, total, clean, stego, error, created_at,
        started_at, finished_at, kept_blobs, sealed)
    SELECT uuidv7(age), 'submitter ' || 1 + number % {SUBMITTERS}, CASE WHEN number % 4 = 0 THEN 'key ' || number END,
        CASE WHEN number % 5 = 0 THEN 'interactive' ELSE 'bulk' END, CASE WHEN ended THEN 'done' ELSE 'running' END,
        {IMAGES_PER_JOB}, CASE WHEN ended THEN {IMAGES_PER_JOB - 2} ELSE 0 END, ended::int, ended::int, now() + age,
        now() + age, CASE WHEN ended THEN now() + age END,
        CASE WHEN number <= {JOBS // 2} THEN 'evidence' ELSE 'all' END,
        ended AND number <> {JOBS - OPEN_JOBS}
    FROM (
        SELECT number, number <= {JOBS - OPEN_JOBS} AS ended, make_interval(mins => number - {JOBS}) AS age
        FROM generate_series(1, {JOBS}) AS number
    ) AS numbered;

    INSERT INTO webhooks (job_id, url, attempts, delivered_at)
    SELECT id, 'https://example.org/', 1, CASE WHEN state = 'done' THEN now() END FROM jobs;

    INSERT INTO chunks (job_id, submitter, priority, first_ordinal, refs, state, attempt, losses, tries, worker,
        dispatched_at, lease_until)
    SELECT id, submitter, priority, place * {IMAGES_PER_CHUNK},
        ARRAY(SELECT CASE place * {IMAGES_PER_CHUNK} + image WHEN {INSCRIBED_ORDINAL}
                  THEN format('bitcoin\\:%s\\:i0', encode(sha256(id::text::bytea), 'hex'))
                  ELSE format('file:///images/%s/%s.png', id, place * {IMAGES_PER_CHUNK} + image) END
              FROM generate_series(0, {IMAGES_PER_CHUNK - 1}) AS image),
        CASE WHEN state = 'done' THEN 'done' WHEN place > 0 OR turn = 0 THEN 'pending'
            WHEN turn = 1 THEN 'dispatched' ELSE 'running' END,
        1, 1, CASE WHEN place > 0 THEN 1 ELSE 0 END, 'cpu0', created_at, created_at
    FROM (SELECT *, row_number() OVER (ORDER BY id) % 3 AS turn FROM jobs) AS jobs,
        generate_series(0, {CHUNKS_PER_JOB - 1}) AS place
    ORDER BY id, place;

    INSERT INTO verdicts (job_id, ordinal, landed, uri, outcome, sha256, stego_probability, method, bit_order,
        extracted_message, error_code, model_id, scanned_at)
    SELECT job_id, ordinal, first_ordinal, uri,
        CASE ordinal WHEN {STEGO_ORDINAL} THEN 'stego' WHEN {ERROR_ORDINAL} THEN 'error' ELSE 'clean' END,
        CASE WHEN ordinal <> {ERROR_ORDINAL} THEN sha256(uri::bytea) END,
        CASE ordinal WHEN {STEGO_ORDINAL} THEN 0.9 WHEN {ERROR_ORDINAL} THEN NULL ELSE 0.1 END,
        CASE ordinal WHEN {STEGO_ORDINAL} THEN 'raw' END, CASE ordinal WHEN {STEGO_ORDINAL} THEN 'none' END,
        CASE ordinal WHEN {STEGO_ORDINAL}
            THEN 'frequent' || CASE WHEN right(job_id::text, 2) = '00' THEN ' rare' ELSE '' END END,
        CASE ordinal WHEN {ERROR_ORDINAL} THEN 'unavailable' END,
        CASE WHEN ordinal <> {ERROR_ORDINAL} THEN models.id END, dispatched_at
    FROM models, (
        SELECT *, (first_ordinal + position - 1)::int AS ordinal
        FROM chunks, unnest(refs) WITH ORDINALITY AS listed (uri, position)
        WHERE state = 'done' ORDER BY job_id, first_ordinal, position
    ) AS scanned;

    INSERT INTO provenance (job_id, landed, worker, code_version, attempt)
    SELECT DISTINCT job_id, landed, 'cpu0@here', '1', 1 FROM verdicts;

    INSERT INTO seal_pieces (job_id, first_ordinal, digest, leaves)
    SELECT job_id, 0, sha256(job_id::text::bytea), 'leaves'
    FROM verdicts JOIN jobs ON id = job_id WHERE ordinal = 0 AND sealed;
    INSERT INTO seals (job_id, root, verdicts) SELECT job_id, digest, 20 FROM seal_pieces;

    INSERT INTO blobs (sha256, size_bytes, released_at)
    SELECT sha256, 1000, CASE WHEN row_number() OVER () % 1000 = 0 THEN now() END
    FROM verdicts WHERE ordinal < {BLOBS_PER_JOB} AND sha256 IS NOT NULL;
    INSERT INTO job_blobs (job_id, sha256)
    SELECT job_id, sha256 FROM verdicts WHERE ordinal < {BLOBS_PER_JOB} AND sha256 IS NOT NULL;
    INSERT INTO submitters (name, stored_bytes) SELECT DISTINCT submitter, 1000000 FROM jobs;
    INSERT INTO operations (done_by, action, subject)
    SELECT 'olga', 'pause', 'everything' FROM generate_series(1, 10000);
    INSERT INTO pauses (job_id, submitter, paused_by)
    SELECT id, NULL, 'olga' FROM jobs WHERE id IN (SELECT id FROM jobs WHERE state = 'running' OFFSET 5 LIMIT 1)
    UNION ALL SELECT NULL, 'submitter 9', 'olga';
    INSERT INTO canary_rounds (seed, started_at, ended_at, result)
    SELECT number, now() + age, now() + age, CASE WHEN number % 500 = 0 THEN 'missing' ELSE 'right' END
    FROM generate_series(1, 20000) AS number, make_interval(secs => number * 30 - 600000) AS age;
    INSERT INTO uploads (submitter, expires_at) VALUES ('{SUBMITTER}', now() + interval '1 hour'), ('other', now());

    ANALYZE
"""
FROM_JOBS = "SELECT id FROM jobs WHERE state = '{state}' ORDER BY id OFFSET 10 LIMIT 1"
# Settings whose value 0 makes the planner use several processes for small tables too.
SHARED_OUT = (
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
)
# Indexes of partitions with the indexes that they are parts of, and empty partitions, which are fastest to read whole.
LIST_INHERITED = "SELECT inhrelid::regclass::text AS part, inhparent::regclass::text AS whole FROM pg_inherits"
LIST_EMPTY = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE pg_relation_size(inhrelid) = 0"


class Filled:
    """The filled database, and some of its rows."""

    def __init__(self, engine: Engine, blobs: Blobs) -> None:
        self.engine = engine
        self.blobs = blobs
        self.model_id = register_v4(engine)
        # The jobs were submitted in seven days.
        cut_partitions(engine, 2, 7.0)
        execute(engine, FILL)
        with engine.connect() as connection:
            self.ended_job = connection.execute(text(FROM_JOBS.format(state="done"))).scalar_one()
            self.open_job = connection.execute(text(FROM_JOBS.format(state="running"))).scalar_one()
            waiting = "SELECT id FROM chunks WHERE state = 'pending' LIMIT 1"
            self.waiting_chunk = connection.execute(text(waiting)).scalar_one()
            inherited = connection.execute(text(LIST_INHERITED)).all()
            self.whole: dict[str, str] = {row.part: row.whole for row in inherited}
            self.empty = set(connection.execute(text(LIST_EMPTY)).scalars())
            found = "SELECT scanned_at, job_id, ordinal, sha256 FROM verdicts WHERE ordinal = 0 OFFSET 5000 LIMIT 1"
            *position, self.digest = connection.execute(text(found)).one()
            self.position = Position(*position)
            running = connection.execute(text("SELECT * FROM chunks WHERE state = 'running' LIMIT 1")).one()
        self.claim = Claim(
            running.id, running.job_id, running.attempt, running.losses, running.submitter, Priority.BULK,
            running.first_ordinal, running.refs, running.tries, [], None, True,
        )  # fmt: skip

    def find(self, after: Position | None = None, **wanted: Any) -> list[Verdict]:
        """Return a page of verdicts."""
        return list(find_verdicts(self.engine, VerdictFilter(**wanted), PAGE, after))

    def look_back(self, **wanted: Any) -> list[Verdict]:
        """Return the page of verdicts before the position."""
        return find_previous(self.engine, VerdictFilter(**wanted), PAGE, self.position)

    def show(self, **wanted: Any) -> list[Verdict]:
        """Return the first `SHOWN` verdicts, as the page shows them."""
        return list(find_verdicts(self.engine, VerdictFilter(**wanted), SHOWN))

    def ask(self, query: str, **parameters: object) -> list[Any]:
        """Return the rows of an analyst's query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), parameters))

    def ask_together(self, query: str, **parameters: object) -> None:
        """Run a query that several processes may answer."""
        with self.engine.connect() as connection:
            for setting in SHARED_OUT:
                connection.execute(text(f"SET LOCAL {setting} = 0"))
            connection.execute(text(query), parameters)

    def upload(self, image: bytes) -> list[str]:
        """Store an image of an upload; return its SHA-256."""
        return Upload(self.engine, self.blobs, SUBMITTER, StorageLimits(None, 0)).put_all([image])

    def find_made(self) -> Rescan:
        """Look up a rescan that does not exist."""
        with self.engine.connect() as connection:
            return find_made(connection, self.ended_job, "key 20")

    def finish(self) -> bool:
        """Finish the running chunk with one verdict."""
        verdict = NewVerdict(0, "file:///0", Outcome.CLEAN, self.digest, 0.1, model_id=self.model_id)
        return finish_chunk(self.engine, self.claim, [verdict])

"""Times the queries of analysts and of the web page on made-up verdicts, each for several random verdicts."""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from research.filling import OLDER, fill_verdicts
from starlight_vocabulary.words import ErrorCode, Method, Outcome
from storage.canaries import read_canaries
from storage.database import connect
from storage.embedded.servers import provide_servers
from storage.exports import list_oldest_first
from storage.figures import take_figures
from storage.jobs import list_jobs
from storage.models import register_model
from storage.reuse import recall_verdicts
from storage.schema_version import upgrade_schema
from storage.seals import seal_ended_jobs
from storage.settings import Settings
from storage.time_limits import QueryTooLongError
from storage.verdict_search import Position, VerdictFilter, find_verdicts
from storage.verification import verify_job

# The rows of a page, and one more that shows whether there is a next page.
PAGE = 51
ROUNDS = 20
# Aims for the 95th percentile in milliseconds: queries that use an index, and queries that count a day.
FOUND_MS, DAY_MS = 200, 2000
# Aim for the queries of one scrape of the exporter.
SCRAPE_MS = 100


@dataclass(frozen=True, slots=True)
class Drawn:
    """A random existing verdict, whose values are parameters of the queries."""

    job_id: Any
    ordinal: int
    sha256: bytes
    scanned_at: datetime
    submitter: str
    image: str

    @property
    def day(self) -> datetime:
        """The start of the day."""
        return self.scanned_at.replace(hour=0, minute=0, second=0, microsecond=0)


Ask = Callable[[Engine, Drawn], object]


def _find(**fixed: Any) -> Ask:  # noqa: ANN401 - fields of a filter
    """Return a query for a page of verdicts; callable filter values are called with the drawn verdict."""

    def ask(engine: Engine, drawn: Drawn) -> object:
        values = {name: value(drawn) if callable(value) else value for name, value in fixed.items()}
        after = values.pop("after", None)
        return list(find_verdicts(engine, VerdictFilter(**values), PAGE, after))

    return ask


def _read(query: str) -> Ask:
    """Return an SQL query with the drawn verdict's values as parameters."""

    def ask(engine: Engine, drawn: Drawn) -> object:
        parameters = {
            "job": drawn.job_id, "sha256": drawn.sha256, "time": drawn.scanned_at, "day": drawn.day.date(),
            "submitter": drawn.submitter,
        }  # fmt: skip
        with engine.connect() as connection:
            return connection.execute(text(query), parameters).all()

    return ask


def _position(drawn: Drawn) -> Position:
    return Position(drawn.scanned_at, drawn.job_id, drawn.ordinal)


def _next_day(drawn: Drawn) -> datetime:
    return drawn.day + timedelta(days=1)


# Each query with its aim in milliseconds.
QUESTIONS: dict[str, tuple[int, Ask]] = {
    "newest verdicts": (FOUND_MS, _find()),
    "a later page": (FOUND_MS, _find(after=_position)),
    "by outcome": (FOUND_MS, _find(outcome=Outcome.STEGO)),
    "by outcome, a later page": (FOUND_MS, _find(outcome=Outcome.STEGO, after=_position)),
    "by method": (FOUND_MS, _find(method=Method.EXIF)),
    "by error code": (FOUND_MS, _find(error_codes=[ErrorCode.CORRUPT])),
    "by probability": (FOUND_MS, _find(min_probability=0.94)),
    "by a narrow probability": (FOUND_MS, _find(min_probability=0.45, max_probability=0.46)),
    "by a probability that nothing has": (FOUND_MS, _find(min_probability=0.6, max_probability=0.8)),
    "by job": (FOUND_MS, _find(job_id=lambda drawn: drawn.job_id)),
    "by job and outcome": (FOUND_MS, _find(job_id=lambda drawn: drawn.job_id, outcome=Outcome.STEGO)),
    "by submitter": (FOUND_MS, _find(submitter=lambda drawn: drawn.submitter)),
    "by submitter and method": (FOUND_MS, _find(submitter=lambda drawn: drawn.submitter, method=Method.RAW)),
    "by an unknown submitter": (FOUND_MS, _find(submitter="nobody")),
    "by time": (FOUND_MS, _find(since=lambda drawn: drawn.day, until=_next_day)),
    "by time and method": (FOUND_MS, _find(since=lambda drawn: drawn.day, until=_next_day, method=Method.ALPHA)),
    "by sha256": (FOUND_MS, _find(sha256=lambda drawn: drawn.sha256.hex())),
    "by frequent words": (FOUND_MS, _find(words="meet bridge")),
    "by a rare word": (FOUND_MS, _find(words=lambda drawn: drawn.image)),
    "by a word that is nowhere": (FOUND_MS, _find(words="nowhere")),
    "by a frequent part": (FOUND_MS, _find(part="ridg")),
    "by a part, in a day": (DAY_MS, _find(part="owher", since=lambda drawn: drawn.day, until=_next_day)),
    "jobs": (FOUND_MS, lambda engine, drawn: list_jobs(engine, limit=50)),
    "jobs of a submitter": (FOUND_MS, lambda engine, drawn: list_jobs(engine, limit=50, submitter=drawn.submitter)),
    "jobs by a part of the name": (FOUND_MS, lambda engine, drawn: list_jobs(engine, limit=50, sought="filled 1")),
    "verification of a job": (FOUND_MS, lambda engine, drawn: verify_job(engine, drawn.job_id)),
    "a page of an export": (
        FOUND_MS, lambda engine, drawn: next(list_oldest_first(engine, VerdictFilter(), _position(drawn)))
    ),
    "a scrape of the exporter": (SCRAPE_MS, lambda engine, drawn: (take_figures(engine), read_canaries(engine))),
    "verdict by sha256": (FOUND_MS, _read("SELECT * FROM verdict WHERE sha256 = :sha256")),
    "verdict of a job": (FOUND_MS, _read("SELECT * FROM verdict WHERE job_id = :job ORDER BY ordinal LIMIT 1000")),
    "verdict, the newest stego": (
        FOUND_MS,
        _read("""
            SELECT * FROM verdict WHERE outcome = 'stego' AND scanned_at < :time ORDER BY scanned_at DESC LIMIT 100
        """),
    ),
    "verdict by words": (
        FOUND_MS,
        _read("""
            SELECT * FROM verdict WHERE message_words(extracted_message) @@ words_sought('nowhere')
                AND extracted_message IS NOT NULL
        """),
    ),
    "job_summary": (FOUND_MS, _read("SELECT * FROM job_summary ORDER BY job_id DESC LIMIT 100")),
    "image_history": (FOUND_MS, _read("SELECT * FROM image_history WHERE sha256 = :sha256")),
    "model_comparison by sha256": (FOUND_MS, _read("SELECT * FROM model_comparison WHERE sha256 = :sha256")),
    "model_comparison of a job": (FOUND_MS, _read("SELECT * FROM model_comparison WHERE job_id = :job")),
    "daily_verdicts of a day": (DAY_MS, _read("SELECT * FROM daily_verdicts WHERE day = :day")),
    "method_by_submitter of a day": (DAY_MS, _read("SELECT * FROM method_by_submitter WHERE day = :day")),
    "model_comparison, counts of a day": (
        DAY_MS,
        _read("""
            SELECT agrees, count(*) FROM model_comparison
            WHERE scanned_at >= CAST(:day AS date) AND scanned_at < CAST(:day AS date) + 1 GROUP BY agrees
        """),
    ),
    "verdict, errors of a day": (
        DAY_MS,
        _read("""
            SELECT error_code, count(*), min(uri) FROM verdict
            WHERE outcome = 'error' AND scanned_at >= CAST(:day AS date) AND scanned_at < CAST(:day AS date) + 1
            GROUP BY error_code
        """),
    ),
}  # fmt: skip

# Random stego verdicts, spread over all days.
DRAW = text("""
    WITH bounds AS (SELECT min(scanned_at) AS first, max(scanned_at) AS last FROM verdicts)
    SELECT found.job_id, ordinal, sha256, scanned_at, submitter, split_part(split_part(uri, '/', 6), '.', 1) AS image
    FROM bounds, unnest(CAST(:places AS float8[])) AS place, LATERAL (
        SELECT verdicts.*, submitter FROM verdicts JOIN jobs ON jobs.id = job_id
        WHERE scanned_at >= first + place * (last - first) AND sha256 IS NOT NULL AND outcome = 'stego'
        ORDER BY scanned_at LIMIT 1
    ) AS found
""")


def measure_questions(engine: Engine, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Return the median, the 95th percentile and the aim of each query, in milliseconds."""
    chance = random.Random(15)  # noqa: S311 - reproducible
    with engine.connect() as connection:
        rows = connection.execute(DRAW, {"places": [chance.random() for _ in range(rounds)]}).mappings()
        drawn = [Drawn(**{str(name): value for name, value in row.items()}) for row in rows]
    figures = {}
    for name, (aim_ms, ask) in QUESTIONS.items():
        times = sorted(_time(engine, ask, each) for each in drawn)
        figures[name] = {
            "p50_ms": round(statistics.median(times), 1),
            "p95_ms": round(times[max(0, -(-95 * len(times) // 100) - 1)], 1),
            "aim_ms": aim_ms,
        }
    return figures


def _time(engine: Engine, ask: Ask, drawn: Drawn) -> float:
    started = time.perf_counter()
    # A query that is cancelled has taken the maximum time.
    with suppress(QueryTooLongError):
        ask(engine, drawn)
    return 1000 * (time.perf_counter() - started)


# Digests that a pipeline looks up together, and the number of lookups.
GROUP, GROUPS = 64, 200
LIST_DIGESTS = text("SELECT sha256 FROM verdicts WHERE outcome = 'clean' AND model_id = :model LIMIT :limit")
FOR_EVER = timedelta(days=10_000)


def measure_reuse(engine: Engine, within: timedelta) -> dict[str, float]:
    """Return the microseconds per image of looking up known and unknown digests, the best of five runs."""
    model_id = register_model(engine, name=OLDER, version="0", sha256="0" * 64, threshold=0.5)
    with engine.connect() as connection:
        known = list(connection.execute(LIST_DIGESTS, {"model": model_id, "limit": GROUP * GROUPS}).scalars())
    unknown = [number.to_bytes(32, "big") for number in range(GROUP * GROUPS)]
    figures = {}
    for name, digests in (("known", known), ("unknown", unknown)):
        times = [_time_reuse(engine, model_id, digests, within) for _ in range(5)]
        figures[f"{name}_us"] = round(1e6 * min(times) / len(digests), 1)
    return figures


def _time_reuse(engine: Engine, model_id: int, digests: Sequence[bytes], within: timedelta) -> float:
    started = time.perf_counter()
    for first in range(0, len(digests), GROUP):
        group = digests[first : first + GROUP]
        recall_verdicts(engine, model_id, group, None, max_message_bytes=1, within=within)
    return time.perf_counter() - started


def measure_analysts(verdicts: int, partitions: int, days: float) -> dict[str, Any]:
    """Return all figures on this number of made-up verdicts, on temporary servers."""
    with _filled(verdicts, partitions, days) as (engine, seconds):
        reuse = {
            "of_all_partitions": measure_reuse(engine, FOR_EVER),
            "within_the_setting": measure_reuse(engine, Settings.model_fields["reuse_within"].default),
        }
        started = time.perf_counter()
        while seal_ended_jobs(engine):
            pass
        sealing_s = time.perf_counter() - started
        questions = measure_questions(engine)
    missed = [name for name, figures in questions.items() if figures["p95_ms"] > figures["aim_ms"]]
    return {
        "verdicts": verdicts,
        "days": days,
        "partitions": partitions,
        "reuse": reuse,
        "rounds": ROUNDS,
        "filling_s": round(seconds),
        "sealed_verdicts_per_second": round(verdicts / sealing_s),
        "missed": missed,
        "questions": questions,
    }


@contextmanager
def _filled(verdicts: int, partitions: int, days: float) -> Iterator[tuple[Engine, float]]:
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with provide_servers(Settings(data_dir=folder / "data")) as servers:
            engine = connect(servers.database_url)
            upgrade_schema(engine)
            started = time.perf_counter()
            fill_verdicts(engine, verdicts, days, partitions)
            yield engine, time.perf_counter() - started
            engine.dispose()

"""Checks of the servers and the programs that use them: schema, clocks, versions, workers, queues."""

import time
from collections.abc import Iterator

import redis
from sqlalchemy import Engine

from producer.cli.doctor.check_results import CheckResult, warn, well, wrong
from starlight_vocabulary.answers import LiveWorker
from storage.broker import UNACKNOWLEDGED
from storage.canaries import Canaries, CanaryResult, read_canaries
from storage.figures import take_figures
from storage.message_counts import MessageCounter
from storage.models import ListedModel, list_models
from storage.partitions import LEAST_AHEAD, PartitionFigures, read_partition_figures
from storage.pauses import list_pauses
from storage.processes import LiveProgram, list_programs, measure_ages, read_server
from storage.schema_version import OLDEST_POSTGRESQL, SchemaError, check_schema, find_newest_revision
from storage.version import VERSION
from storage.workers import list_live_workers

# Larger differences would make times in logs misleading; nothing else depends on a host's clock.
CLOCKS_MAY_DIFFER_S = 2.0
OLD_S = {"interactive": 10.0, "bulk": 600.0}
FULL = 0.9


def check_postgresql(engine: Engine) -> CheckResult:
    """Check PostgreSQL's version and response time; raises what SQLAlchemy raises if it does not answer."""
    read_server(engine)
    begun = time.perf_counter()
    version, named, _ = read_server(engine)
    seen = f"PostgreSQL {named} answers in {1000 * (time.perf_counter() - begun):.1f} ms"
    if version < OLDEST_POSTGRESQL:
        return wrong("PostgreSQL", seen, "Starlight needs PostgreSQL 14 or newer")
    return well("PostgreSQL", seen)


def check_redis(client: "redis.Redis") -> CheckResult:
    """Check that Redis answers and has memory left."""
    try:
        memory: dict[str, object] = client.info("memory")
    except (redis.RedisError, OSError) as error:
        return wrong(
            "Redis", f"Redis does not answer: {error}", "start it, or correct STARLIGHT_REDIS_URL; nothing is lost"
        )
    used, most = int(str(memory["used_memory"])), int(str(memory.get("maxmemory", 0)))
    seen = f"{used / 2**20:,.0f} MiB of {f'{most / 2**20:,.0f} MiB' if most else 'all memory'} used"
    if most and used > FULL * most:
        return warn("Redis", seen, "raise its maxmemory, or check what else uses it: chunks need a few KiB each")
    return well("Redis", seen)


def check_messages(counter: MessageCounter) -> CheckResult:
    """Check that the broker tells how many messages wait."""
    try:
        messages = counter.count_messages()
    except (redis.RedisError, OSError) as error:
        return wrong(
            "messages", f"cannot be counted: {error}", f"start {counter.name}, or correct its URL; nothing is lost"
        )
    unacknowledged = messages.pop(UNACKNOWLEDGED, None)
    seen = f"{sum(messages.values())} messages wait in {counter.name}"
    return well("messages", seen if unacknowledged is None else f"{seen}, {unacknowledged} are with workers")


def check_schema_fits(engine: Engine) -> CheckResult:
    """Check that the schema is compatible with this code."""
    try:
        check_schema(engine)
    except SchemaError as error:
        seen, _, mend = str(error).rpartition(": ")
        return wrong("schema", seen, mend)
    return well("schema", f"the schema is compatible with this code, {find_newest_revision()}")


def check_clocks(engine: Engine) -> CheckResult:
    """Check the difference between the clocks of this machine and PostgreSQL's."""
    before = time.time()
    _, _, there = read_server(engine)
    after = time.time()
    apart = max(before - there, there - after, 0.0)
    seen = f"this machine's clock and PostgreSQL's are {apart:.1f} s apart"
    if apart > CLOCKS_MAY_DIFFER_S:
        return warn(
            "clocks",
            seen,
            "set both by NTP: times in logs do not match those of jobs (nothing else depends on it)",
        )
    return well("clocks", seen)


def check_installation(engine: Engine, lease_s: float) -> Iterator[CheckResult]:
    """Yield the results of the checks of programs, workers and queues; the schema must be compatible."""
    workers = list(list_live_workers(engine, lease_s))
    yield from check_programs(list_programs(engine), workers)
    yield from check_workers(workers)
    yield check_models(engine, lease_s)
    yield check_pauses(engine)
    yield check_canaries(read_canaries(engine))
    yield from check_queues(engine)
    yield check_partitions(read_partition_figures(engine))


def check_programs(programs: list[LiveProgram], workers: list[LiveWorker]) -> Iterator[CheckResult]:
    """Check that a dispatcher runs, and that all programs have the same version."""
    listed = ", ".join(f"{each.program} {each.version or 'of an older release'}" for each in programs) or "none"
    if not any(each.program == "dispatcher" for each in programs):
        yield wrong(
            "programs", f"no dispatcher is connected; connected: {listed}", "`starlight dispatcher`, or `starlight up`"
        )
    others = sorted(
        {f"{each.program} ({each.version or 'an older release'})" for each in programs if each.version != VERSION}
    )
    if others:
        yield warn("programs", f"this code is {VERSION}; of another version: {', '.join(others)}",
                   "upgrade them, and stop those that are not needed")  # fmt: skip
    elif programs:
        yield well("programs", f"all of version {VERSION}: {listed}")


def check_workers(workers: list[LiveWorker]) -> Iterator[CheckResult]:
    """Check that a live worker claims chunks."""
    names = ", ".join(each.name for each in workers)
    if not workers:
        yield wrong(
            "workers", "no worker is alive: nothing is scanned", "`starlight worker --device …`, or `starlight up`"
        )
        return
    draining = [each.name for each in workers if each.draining]
    if len(draining) == len(workers):
        yield wrong("workers", f"all workers are draining: {names}", "`starlight drain --all --undo`")
    elif draining:
        yield warn("workers", f"draining: {', '.join(draining)}", "`starlight drain WORKER --undo` ends it")
    else:
        yield well("workers", f"{len(workers)} claim chunks: {names}")


def check_models(engine: Engine, lease_s: float) -> CheckResult:
    """Check that all workers score with the model in use; the same weights may have several names and thresholds."""
    models = list_models(engine, lease_s)
    found = [model for model in models if model.workers]
    seen = ", ".join(map(_name_model, found)) or "no workers"
    if len(found) > 1:
        return warn("model in use", f"workers score with different models: {seen}",
                    "wait some seconds after `starlight model use`; else see their logs")  # fmt: skip
    used = next((model for model in models if model.in_use), None)
    if used and found and used not in found:
        return wrong("model in use", f"workers score with {seen}, not with the model in use, {_name_model(used)}",
                     "see their logs; STARLIGHT_MODEL_DIR may set another model")  # fmt: skip
    return well("model in use", seen)


def _name_model(model: ListedModel) -> str:
    return f"{model.label} ({model.sha256[:12]}…, threshold {model.threshold:.4f})"


def check_pauses(engine: Engine) -> CheckResult:
    """Check that nothing is paused."""
    paused = [f"{each.subject} (by {each.paused_by})" for each in list_pauses(engine)]
    if paused:
        return warn("pauses", f"paused: {', '.join(paused)}", "`starlight resume` with the same options")
    return well("pauses", "nothing is paused")


def check_canaries(canaries: Canaries) -> CheckResult:
    """Check the results of the newest round of canaries."""
    newest = canaries.newest
    if newest is None:
        return well("canaries", "no round has ended in the last few days")
    counts = ", ".join(f"{count} {result}" for result, count in newest.counts.items())
    seen = f"the round that ended at {newest.ended_at:%Y-%m-%d %H:%M:%S %Z}: {counts}"
    if newest.result is not CanaryResult.RIGHT:
        return wrong("canaries", seen, "see docs/runbook.md#starlightcanarywrong, and `starlight canary --once`")
    return well("canaries", seen)


def check_queues(engine: Engine) -> Iterator[CheckResult]:
    """Check the age of waiting jobs, and that each image is accounted for."""
    ages = measure_ages(engine)
    for priority, age_s in ages.items():
        seen = f"the oldest waiting {priority} job is {age_s:,.0f} s old"
        if age_s > OLD_S.get(priority, OLD_S["bulk"]):
            yield warn("queues", seen, "add workers, or find out why they are slow: `starlight top`")
        else:
            yield well("queues", seen)
    if not ages:
        yield well("queues", "no chunk is waiting to be dispatched")
    figures = take_figures(engine)
    if figures.unaccounted:
        seen = f"{figures.unaccounted} of {figures.submitted:,} images have no verdict and are not waiting"
        yield wrong("accounting", seen,
                    "this is a bug: `starlight audit --all` says in which job; please report it")  # fmt: skip
    else:
        yield well("accounting", f"each of {figures.submitted:,} images has a verdict or is waiting")


def check_partitions(figures: PartitionFigures) -> CheckResult:
    """Check that verdicts have partitions, now and for the next weeks."""
    seen = (
        f"{figures.partitions} partitions of verdicts, up to {figures.ahead_s / 86400:.0f} days from now, "
        f"{figures.unplaced} verdicts in none of them"
    )
    if figures.unplaced or figures.ahead_s < LEAST_AHEAD.total_seconds():
        mend = "a dispatcher creates them, or logs why it cannot: docs/runbook.md#starlightpartitionsmissing"
        return warn("partitions", seen, mend)
    return well("partitions", seen)

"""The questions of docs/analysts.md, answered by its queries as the verdicts themselves say."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import pytest

from starlight_vocabulary.verdict import Verdict
from tests.kit.analyst_questions import read_questions
from tests.kit.generated_verdicts import SINCE, Generated, generate_verdicts


@pytest.fixture(scope="module")
def generated(session_servers: tuple[str, str]) -> Iterator[Generated]:
    with generate_verdicts(session_servers[0]) as filled:
        yield filled


def day_of(verdict: Verdict) -> datetime:
    return verdict.scanned_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def expect_found(data: Generated) -> list[tuple[Any, ...]]:
    ordered = sorted(data.found, key=lambda each: each.ordinal)
    ordered.sort(key=lambda each: (each.scanned_at, each.job_id), reverse=True)
    return [
        (each.scanned_at, each.uri, each.stego_type, each.stego_probability, each.extracted_message)
        for each in ordered[:100]
    ]


def expect_days(data: Generated) -> list[tuple[Any, ...]]:
    counts = Counter((day_of(each).date(), each.outcome.value) for each in data.recent)
    return [(*key, count) for key, count in sorted(counts.items())]


def expect_methods(data: Generated) -> list[tuple[Any, ...]]:
    counts = Counter((data.submitters[each.job_id], each.stego_type) for each in data.found)
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[2], row[0], row[1]))


def expect_history(data: Generated) -> list[tuple[Any, ...]]:
    same = sorted(
        (each for each in data.verdicts if each.sha256 == data.file), key=attrgetter("scanned_at", "job_id", "ordinal")
    )
    return [
        (nth, each.scanned_at, data.submitters[each.job_id], each.uri, each.outcome, each.model)
        for nth, each in enumerate(same, 1)
    ]


def expect_disagreements(data: Generated) -> list[tuple[Any, ...]]:
    by_file = defaultdict(list)
    for each in sorted(data.verdicts, key=attrgetter("scanned_at", "job_id", "ordinal")):
        if each.sha256 and each.is_stego is not None:
            by_file[each.sha256].append(each)
    counts: Counter[tuple[str, str, str | None]] = Counter()
    for first, *later in by_file.values():
        for each in later:
            if each.scanned_at >= SINCE and (each.outcome, each.stego_type) != (first.outcome, first.stego_type):
                assert each.model != first.model
                counts[first.outcome.value, each.outcome.value, each.stego_type or first.stego_type] += 1
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[3], *row[:3]))


def expect_shares(data: Generated) -> list[tuple[Any, ...]]:
    rows = [(job.id, job.submitter, job.error, job.total, 100 * job.error / job.total) for job in data.jobs]
    return sorted(rows, key=lambda row: (-row[4], row[0]))[:10]


def expect_errors(data: Generated) -> list[tuple[Any, ...]]:
    by_code = defaultdict(list)
    for each in data.recent:
        if each.error_code:
            by_code[each.error_code].append(each.uri)
    rows = [(code, len(uris), min(uris)) for code, uris in by_code.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def expect_nearly(data: Generated) -> list[tuple[Any, ...]]:
    rows = [
        (each.uri, each.stego_probability, each.threshold)
        for each in data.recent
        if each.outcome == "clean" and each.stego_probability is not None and each.threshold is not None
    ]
    return sorted(rows, key=lambda row: (row[2] - row[1], row[0]))[:20]


def expect_messages(data: Generated) -> list[tuple[Any, ...]]:
    by_message = defaultdict(list)
    for each in data.found:
        if each.extracted_message:
            by_message[each.extracted_message].append(each)
    rows = [
        (message, len({each.sha256 for each in same}), len({data.submitters[each.job_id] for each in same}))
        for message, same in by_message.items()
    ]
    return sorted((row for row in rows if row[1] > 1), key=lambda row: (-row[1], row[0]))[:20]


def expect_drift(data: Generated) -> list[tuple[Any, ...]]:
    groups = defaultdict(list)
    for each in data.recent:
        if each.stego_probability is not None:
            groups[day_of(each), each.model].append(each.stego_probability)
    rows = []
    for key, values in sorted(groups.items()):
        values.sort()
        median, high = (values[-(-len(values) * percent // 100) - 1] for percent in (50, 99))
        rows.append((*key, len(values), statistics.fmean(values), median, high))
    return rows


ANSWERS: dict[int, Callable[[Generated], list[tuple[Any, ...]]]] = {
    1: expect_found, 2: expect_days, 3: expect_methods, 4: expect_history, 5: expect_disagreements,
    6: expect_shares, 7: expect_errors, 8: expect_nearly, 9: expect_messages, 10: expect_drift,
}  # fmt: skip


@pytest.mark.parametrize("number", ANSWERS)
def test_a_question_of_the_page_is_answered_from_the_views(generated: Generated, number: int) -> None:
    parameters = {"since": SINCE, "sha256": bytes.fromhex(generated.file)}

    answered = generated.analyst.execute(read_questions()[number].encode(), parameters).fetchall()

    expected = ANSWERS[number](generated)
    assert expected
    assert len(answered) == len(expected)
    for row, wanted in zip(answered, expected, strict=True):
        told = [float(cell) if isinstance(cell, Decimal) else cell for cell in row]
        assert told == [pytest.approx(cell) if isinstance(cell, float) else cell for cell in wanted]


def test_every_question_of_the_page_has_its_answer_here() -> None:
    assert list(read_questions()) == list(ANSWERS)

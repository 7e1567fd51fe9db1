"""The same bytes again: within a chunk, and as stored verdicts remember them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from starlight_vocabulary.words import BitOrder, ErrorCode, Method, Outcome
from storage.new_verdict import NewVerdict
from storage.settings import Settings
from tests.kit.detectors import STEGO, Widths
from tests.kit.pictures import (
    encode_strip,
    encode_truncated,
)
from tests.kit.pipelines import MODEL_ID, Folder, run_pipeline, scan
from tests.kit.threads import PATIENCE_S, start_thread
from worker.scanning.pipeline import Pipeline


def test_the_same_image_twice_gets_two_verdicts(pipeline: Pipeline, folder: Folder) -> None:
    uri = folder.put(encode_strip(5))

    verdicts = scan(pipeline, [uri, uri])

    assert [(verdict.ordinal, verdict.outcome) for verdict in verdicts] == [(0, "clean"), (1, "clean")]


@dataclass
class Memory:
    """Stored verdicts by digest, and the digests that were looked up."""

    stored: dict[bytes, NewVerdict] = field(default_factory=dict)
    asked: list[tuple[set[bytes], float | None]] = field(default_factory=list)

    def recall(self, digests: Sequence[bytes], threshold: float | None, submitter: str) -> dict[bytes, NewVerdict]:
        self.asked.append((set(digests), threshold))
        return {digest: self.stored[digest] for digest in digests if digest in self.stored}


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def recalling(scorer: Widths, settings: Settings, memory: Memory) -> Iterator[Pipeline]:
    with run_pipeline(scorer, settings, memory.recall) as pipeline:
        yield pipeline


def test_bytes_that_the_model_has_judged_before_keep_their_verdict_and_v4_is_not_asked(
    recalling: Pipeline, folder: Folder, scorer: Widths, memory: Memory
) -> None:
    known, new = encode_strip(3), encode_strip(4)
    digest = hashlib.sha256(known).digest()
    stored = NewVerdict(
        99, "file:///elsewhere", Outcome.STEGO, digest, 0.9, Method.RAW, BitOrder.NONE, "hello", model_id=MODEL_ID
    )
    memory.stored[digest] = stored
    uris = [folder.put(known), folder.put(new)]

    first, second = start_thread(recalling.scan, list(enumerate(uris)), 0.7).result(PATIENCE_S)

    assert first == replace(stored, ordinal=0, uri=uris[0], reused=True)
    assert (second.outcome, second.reused) == ("clean", False)
    assert memory.asked == [({digest, hashlib.sha256(new).digest()}, 0.7)]
    assert sum(scorer.sizes) == 1


def test_the_same_bytes_many_times_in_a_chunk_are_scored_once(
    recalling: Pipeline, folder: Folder, scorer: Widths, memory: Memory
) -> None:
    scorer.scores[3] = STEGO
    same, other, broken = encode_strip(3, b"hello\0"), encode_strip(4), encode_truncated()
    # More than one group, so that later groups contain the bytes of earlier ones.
    uris = [folder.put(data) for data in [same, other, broken] + 200 * [same, broken]]

    verdicts = scan(recalling, uris)

    assert [verdict.uri for verdict in verdicts] == uris
    assert [verdict.ordinal for verdict in verdicts] == list(range(len(uris)))
    assert [verdict.outcome for verdict in verdicts] == ["stego", "clean", "error"] + 200 * ["stego", "error"]
    assert [verdict.reused for verdict in verdicts] == [False, False, False] + 200 * [True, False]
    assert {verdict.extracted_message for verdict in verdicts if verdict.outcome == "stego"} == {"hello"}
    assert sum(scorer.sizes) == 3
    assert set.union(*(digests for digests, _ in memory.asked)) == {
        hashlib.sha256(data).digest() for data in (same, other, broken)
    }
    assert len(memory.asked) == 1


def test_without_a_memory_the_same_bytes_are_scored_again(pipeline: Pipeline, folder: Folder, scorer: Widths) -> None:
    uri = folder.put(encode_strip(3))

    assert [verdict.reused for verdict in scan(pipeline, [uri, uri])] == [False, False]
    assert sum(scorer.sizes) == 2


def test_large_images_are_held_one_at_a_time(settings: Settings, folder: Folder, memory: Memory) -> None:
    roomy = settings.model_copy(update={"max_image_bytes": 4 * 2**20})
    large = [encode_strip(width, bytes(2**20)) for width in (1, 2)]
    data = [encode_strip(5), large[0], encode_strip(6), large[1], bytes(4 * 2**20 + 1), encode_strip(7)]

    with run_pipeline(Widths(), roomy, memory.recall) as pipeline:
        verdicts = scan(pipeline, [folder.put(each) for each in data])

    assert [verdict.width for verdict in verdicts] == [5, 1, 6, 2, None, 7]
    assert verdicts[4].error_code == ErrorCode.TOO_LARGE
    for each in large:
        assert ({hashlib.sha256(each).digest()}, None) in memory.asked

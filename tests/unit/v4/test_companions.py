"""The size of the bytes after a picture, as its file declares it."""

import numpy as np
import pytest

from research.stego.trailers import DECLARED_KINDS, HARMLESS_KINDS, append_kind, declare_harmless
from tests.kit.pictures import decode, draw_noise, encode
from worker.v4.companions import Companions, find_companions
from worker.v4.containers import survey

JPEG = encode(draw_noise("RGB", 24, 16), "JPEG")


def find(data: bytes) -> Companions:
    layout = survey(data)
    return find_companions(data, layout.container, layout.end)


def test_where_nothing_follows_nothing_is_said() -> None:
    assert find(JPEG) == Companions()
    assert find(declare_harmless(np.random.default_rng(1), JPEG)) == Companions()


@pytest.mark.parametrize("kind", sorted(HARMLESS_KINDS))
def test_harmless_bytes_stand_behind_a_picture_that_opens(kind: str) -> None:
    for seed in range(12):
        whole = append_kind(np.random.default_rng(seed), JPEG, kind)
        assert decode(whole).size == (24, 16)
        assert len(whole) > survey(whole).end
        assert find(whole).declared <= len(whole) - survey(whole).end


def test_an_index_of_pictures_accounts_for_what_follows() -> None:
    whole = [append_kind(np.random.default_rng(seed), JPEG, "multi-picture file") for seed in range(40)]
    exact = [find(each).declared == len(each) - survey(each).end for each in whole]
    # The others are made as if the file had been edited or padded afterwards.
    assert sum(exact) > 10
    assert sum(find(each).pictures for each in whole) == len(whole)


def test_a_packet_tells_of_a_video() -> None:
    whole = append_kind(np.random.default_rng(2), JPEG, "pictures or video declared in XMP")
    found = find(whole)
    assert found.video
    assert found.declared == len(whole) - survey(whole).end


def test_a_repeated_file_is_recognised() -> None:
    assert find(JPEG + JPEG).whole
    assert find(JPEG + JPEG).same_end
    assert find(JPEG + JPEG[:100]).same_start == 100
    assert find(JPEG + JPEG[-30:]).same_end
    other = find(JPEG + b"something else")
    assert (other.same_start, other.same_end, other.whole) == (0, False, False)


@pytest.mark.parametrize("index", [b"", b"II*\x00", b"MM\x00*\x00\x00\xff\xff", b"II*\x00\x08\x00\x00\x00\xff\xff"])
def test_a_spoilt_index_is_survived(index: bytes) -> None:
    segment = b"\xff\xe2" + (len(index) + 6).to_bytes(2, "big") + b"MPF\x00" + index
    found = find(JPEG[:2] + segment + JPEG[2:] + b"tail")
    assert found.pictures
    assert found.declared == 0


def test_kinds_that_are_declared_are_kinds() -> None:
    assert set(HARMLESS_KINDS) > DECLARED_KINDS

"""The limit of descriptors that a process sets for itself."""

import resource

import pytest

from storage.descriptors import MOST, raise_descriptor_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 1024, 1024), (1024, 4096, 4096), (1024, UNLIMITED, MOST), (1024, 10 * MOST, MOST),
        (2 * MOST, 10 * MOST, 2 * MOST), (UNLIMITED, UNLIMITED, MOST),
    ],
)  # fmt: skip
def test_the_limit_is_raised_as_far_as_is_allowed_and_of_use(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, wanted: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))

    assert raise_descriptor_limit() == wanted
    assert len(limits) == 1 or limits[-1] == (wanted, hard)


def test_a_limit_that_the_kernel_does_not_grant_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int, __: tuple[int, int]) -> None:
        raise ValueError("not allowed")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, UNLIMITED))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert raise_descriptor_limit() == 256

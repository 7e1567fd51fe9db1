"""The cache of keys."""

from datetime import UTC, datetime

import pytest

from producer.api import known_keys
from producer.api.known_keys import KnownKeys, count_at_once
from starlight_vocabulary.words import Scope
from storage.keys import ApiKey

TOKEN = "starlight_ann"
ANN = ApiKey("ann", "ann", (Scope.READ,), datetime.now(UTC), None)


@pytest.fixture
def known() -> KnownKeys:
    known = KnownKeys()
    known.forget_all(is_listening=True)
    return known


def remember(known: KnownKeys, counted: int, token: str = TOKEN) -> None:
    begun = known.begin()
    assert begun is not None
    known.remember(token, ANN, counted, begun)


def test_a_key_is_admitted_as_often_as_its_requests_are_counted(known: KnownKeys) -> None:
    remember(known, 2)
    remember(known, 1)

    assert [known.admit(TOKEN) for _ in range(4)] == [ANN, ANN, ANN, None]
    assert known.admit("another") is None


def test_a_key_that_was_revoked_is_forgotten_and_not_remembered_by_who_asked_before(known: KnownKeys) -> None:
    remember(known, 5)
    begun = known.begin()

    known.forget_all(is_listening=True)
    assert begun is not None
    known.remember(TOKEN, ANN, 5, begun)

    assert known.admit(TOKEN) is None


def test_requests_that_were_counted_are_not_counted_again(known: KnownKeys) -> None:
    remember(known, 5)
    known.admit(TOKEN)
    known.forget_all(is_listening=True)

    assert known.take_counted(TOKEN) == 4
    assert known.take_counted(TOKEN) == 0


def test_no_key_is_known_while_nobody_listens(known: KnownKeys) -> None:
    remember(known, 5)

    known.forget_all(is_listening=False)

    assert known.admit(TOKEN) is None
    assert known.begin() is None
    assert KnownKeys().begin() is None


def test_a_key_is_known_for_a_while(known: KnownKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "KNOWN_S", -1.0)
    remember(known, 5)

    assert known.admit(TOKEN) is None
    assert known.take_counted(TOKEN) == 0


def test_few_keys_are_known(known: KnownKeys) -> None:
    for number in range(known_keys.MOST + 1):
        remember(known, 1, str(number))

    assert known.admit("0") is None
    assert known.admit(str(known_keys.MOST)) == ANN


def test_where_few_requests_are_allowed_each_is_counted_as_it_comes() -> None:
    assert [count_at_once(limit) for limit in (1, 999, 12_000)] == [1, 1, 24]

"""Which connection is closed for a new one, and which addresses count as one."""

import pytest

from producer.api.connections import Connections, find_origin


class Connection:
    """A connection that records whether it was closed."""

    def __init__(self) -> None:
        self.ended = False

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def three() -> list[Connection]:
    return [Connection() for _ in range(3)]


def test_the_one_that_has_waited_longest_makes_room(three: list[Connection]) -> None:
    connections, newcomer = Connections(3, 3), Connection()
    for each in three:
        assert connections.admit(each, "a")
    # It was answered meanwhile, and waits again.
    connections.note_answering(three[0])
    connections.note_waiting(three[0])

    assert connections.admit(newcomer, "b")

    assert [each.ended for each in three] == [False, True, False]
    # A closed connection may report its end later.
    connections.forget(three[1])
    connections.note_waiting(three[1])
    assert connections.admit(Connection(), "b")
    assert [each.ended for each in three] == [False, True, True]


def test_of_one_address_that_has_as_many_as_it_may_its_own_make_room(three: list[Connection]) -> None:
    connections = Connections(100, 2)
    for each, origin in zip(three, "abb", strict=True):
        assert connections.admit(each, origin)

    assert connections.admit(Connection(), "b")

    assert [each.ended for each in three] == [False, True, False]


@pytest.mark.parametrize("limits", [(3, 100), (100, 3)])
def test_where_all_are_being_answered_nobody_is_let_in_until_one_has_gone(
    limits: tuple[int, int], three: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    connections = Connections(*limits)
    for each in three:
        assert connections.admit(each, "a")
        connections.note_answering(each)

    assert not connections.admit(Connection(), "a")

    assert not any(each.ended for each in three)
    assert [line.startswith("a connection is refused: ") for line in caplog.messages] == [True]
    connections.forget(three[1])
    assert connections.admit(Connection(), "a")


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_an_address_counts_as_itself_or_its_network(host: str, origin: str) -> None:
    assert find_origin(host) == origin

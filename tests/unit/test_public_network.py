"""Which addresses strangers may make us connect to."""

import socket
from ipaddress import ip_address, ip_network

import httpcore
import pytest

from storage.deadline import Deadline
from storage.public_network import ForbiddenAddressError, PublicBackend, is_public, resolve
from tests.kit.threads import PATIENCE_S


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "fec0::1", "feff::1", "192.0.0.9", "192.0.0.10", "::ffff:192.0.0.9", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_no_form_of_a_private_address_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "::1", "0"])
def test_odd_spellings_of_this_machine_are_refused(host: str) -> None:
    with Deadline(PATIENCE_S), pytest.raises((ForbiddenAddressError, httpcore.ConnectError)):
        PublicBackend().connect_tcp(host, 80)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    answers = iter([["127.0.0.1"], ["1.1.1.1"]])

    with Deadline(PATIENCE_S), pytest.raises(ForbiddenAddressError, match=r"rebinding\.example has no public address"):
        PublicBackend(resolve=lambda *_: next(answers)).connect_tcp("rebinding.example", 80)

    assert list(answers) == [["1.1.1.1"]]


def test_of_several_addresses_only_those_that_may_be_are_tried() -> None:
    with Deadline(PATIENCE_S), socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        backend = PublicBackend([ip_network("127.0.0.0/8")], lambda *_: ["10.0.0.1", "127.0.0.1"])

        stream = backend.connect_tcp("mixed.example", port)

        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        stream.close()


def test_a_socket_of_this_machine_is_refused() -> None:
    with pytest.raises(ForbiddenAddressError):
        PublicBackend().connect_unix_socket("/run/docker.sock")


def test_names_are_resolved_to_numbers() -> None:
    assert "127.0.0.1" in resolve("localhost", 80) or "::1" in resolve("localhost", 80)

import socket

import pytest

from mesh.net.addresses import endpoint_of, family_of, is_loopback, socket_address
from mesh.wire.endpoint import Endpoint


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("127.0.0.1", socket.AF_INET),
        ("::1", socket.AF_INET6),
        ("fe80::1%lo", socket.AF_INET6),
        ("localhost", None),
        ("127.1", None),
        ("", None),
        ("1.2.3.4\0", None),
    ],
)
def test_only_numeric_hosts_have_a_family(host: str, family: socket.AddressFamily | None) -> None:
    assert family_of(host) == family


def test_a_name_is_never_looked_up() -> None:
    assert socket_address(Endpoint("example.invalid", 1)) is None


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_is_none_has_no_address(port: int) -> None:
    assert socket_address(Endpoint("127.0.0.1", port)) is None


def test_a_scope_becomes_an_interface_index_and_back() -> None:
    name = socket.if_nameindex()[0][1]
    endpoint = Endpoint(f"fe80::1%{name}", 9)
    resolved = socket_address(endpoint)
    assert resolved == (socket.AF_INET6, ("fe80::1", 9, 0, socket.if_nametoindex(name)))
    assert endpoint_of(resolved[1]) == endpoint


def test_a_scope_of_another_machine_has_no_address_here() -> None:
    assert socket_address(Endpoint("fe80::1%nosuchif0", 9)) is None


def test_ipv4_loopback_is_known_in_the_clothes_of_ipv6() -> None:
    assert is_loopback("::ffff:127.0.0.1")
    assert not is_loopback("::ffff:10.0.0.1")
    assert not is_loopback("localhost")

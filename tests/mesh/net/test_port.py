import socket

import pytest

from mesh.net.port import EVERY_ADDRESS, BoundPort, CannotBind, PortTaken, bind_port

LOOPBACK = ["127.0.0.1"]


async def test_udp_and_tcp_share_one_number_on_every_host(ports: list[BoundPort]) -> None:
    port = bind_port(["127.0.0.1", "::1"])
    ports.append(port)
    names = [one.getsockname()[:2] for one in port.udp]
    names += [listener.socket.getsockname()[:2] for listener in port.tcp]
    assert sorted(names) == sorted([("127.0.0.1", port.port), ("::1", port.port)] * 2)


async def test_without_a_host_each_family_that_the_machine_has_is_bound(ports: list[BoundPort]) -> None:
    port = bind_port(EVERY_ADDRESS)
    ports.append(port)
    assert socket.AF_INET in {one.family for one in port.udp}
    assert {one.getsockname()[1] for one in port.udp} == {port.port}


async def test_a_taken_udp_port_is_said_with_the_option_that_helps(ports: list[BoundPort]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(PortTaken) as caught:
            bind_port(LOOPBACK, other.getsockname()[1])
    assert "taken" in caught.value.message
    assert "--port" in caught.value.hint


async def test_a_taken_tcp_port_is_said_and_the_udp_port_given_back() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(PortTaken):
            bind_port(LOOPBACK, number)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", number))


async def test_a_second_node_on_the_same_port_is_refused(ports: list[BoundPort]) -> None:
    ports.append(bind_port(LOOPBACK))
    with pytest.raises(PortTaken):
        bind_port(LOOPBACK, ports[0].port)


async def test_a_free_number_is_searched_when_the_first_pick_is_taken_for_tcp(
    ports: list[BoundPort], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        unlucky = [other.getsockname()[1]]
        bind = socket.socket.bind

        def bind_unluckily(one: socket.socket, address: tuple[str, int]) -> None:
            if address[1] == 0 and unlucky:
                address = (address[0], unlucky.pop())
            bind(one, address)

        monkeypatch.setattr("mesh.net.port.socket.socket.bind", bind_unluckily)
        port = bind_port(LOOPBACK)
        ports.append(port)
        assert not unlucky
        assert port.port != other.getsockname()[1]


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(CannotBind, match="not an address of this machine"):
        bind_port(["203.0.113.1"])


async def test_a_name_is_refused() -> None:
    with pytest.raises(CannotBind, match="numeric"):
        bind_port(["localhost"])

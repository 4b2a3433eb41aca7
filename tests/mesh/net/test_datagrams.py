import sys
from collections.abc import AsyncIterator

import pytest
import trio

from mesh.net import datagrams as module
from mesh.net.datagrams import MAX_DATAGRAM, QUEUE, STRANGE_QUEUE, Datagrams
from mesh.net.port import BoundPort, bind_port
from mesh.wire.endpoint import Endpoint


class Net:
    def __init__(self, nursery: trio.Nursery, ports: list[BoundPort]) -> None:
        self._nursery = nursery
        self._ports = ports
        self.unreachable: list[Endpoint] = []

    async def node(self, host: str = "127.0.0.1") -> tuple[Datagrams, Endpoint]:
        port = bind_port([host])
        self._ports.append(port)
        node = Datagrams(port.udp, self.unreachable.append)
        await self._nursery.start(node.run)
        return node, Endpoint(host, node.port)

    def dead(self, host: str = "127.0.0.1") -> Endpoint:
        port = bind_port([host])
        port.close()
        return Endpoint(host, port.port)


@pytest.fixture
async def net(ports: list[BoundPort]) -> AsyncIterator[Net]:
    async with trio.open_nursery() as nursery:
        yield Net(nursery, ports)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_datagram_arrives_with_its_source(net: Net, host: str) -> None:
    a, at_a = await net.node(host)
    b, at_b = await net.node(host)
    assert a.send(at_b, b"hello")
    with trio.fail_after(5):
        assert await b.receive() == (at_a, b"hello")


async def test_one_node_sends_over_both_families(ports: list[BoundPort]) -> None:
    ports.append(bind_port(["127.0.0.1", "::1"]))
    ports.append(bind_port(["127.0.0.1", "::1"]))
    a, b = (Datagrams(port.udp) for port in ports)
    async with trio.open_nursery() as nursery:
        await nursery.start(a.run)
        await nursery.start(b.run)
        for host in ("127.0.0.1", "::1"):
            assert a.send(Endpoint(host, b.port), host.encode())
            with trio.fail_after(5):
                assert await b.receive() == (Endpoint(host, a.port), host.encode())
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells an unconnected socket of refusals")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_where_nobody_listens_is_told_and_costs_no_other_datagram(net: Net, host: str) -> None:
    a, at_a = await net.node(host)
    b, at_b = await net.node(host)
    dead = net.dead(host)
    for number in range(20):
        assert a.send(dead, b"anyone?")
        assert a.send(at_b, str(number).encode())
    with trio.fail_after(5):
        assert [await b.receive() for _ in range(20)] == [
            (at_a, str(number).encode()) for number in range(20)
        ]
        while a.counts.unreachable < 20:
            await trio.lowlevel.checkpoint()
    assert set(net.unreachable) == {dead}
    assert a.counts.send_dropped == 0


async def test_what_no_socket_can_carry_is_dropped_and_counted(net: Net) -> None:
    a, _ = await net.node()
    assert not a.send(Endpoint("::1", 9), b"other family")
    assert not a.send(Endpoint("not-an-address", 9), b"a name")
    assert not a.send(Endpoint("127.0.0.1", 9), bytes(MAX_DATAGRAM + 1))
    assert a.counts.send_dropped == 3
    assert a.counts.sent == 0


async def test_an_oversized_datagram_is_not_handed_in(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    a, at_a = await net.node()
    b, at_b = await net.node()
    with monkeypatch.context() as patch:
        patch.setattr(module, "MAX_DATAGRAM", MAX_DATAGRAM + 100)
        assert a.send(at_b, bytes(MAX_DATAGRAM + 50))
    assert a.send(at_b, b"fits")
    with trio.fail_after(5):
        assert await b.receive() == (at_a, b"fits")
    assert b.drops.counts == {"oversized": 1}


async def test_of_a_host_that_floods_a_part_is_handed_in_and_of_others_all(net: Net) -> None:
    a, at_a = await net.node("127.0.0.2")
    b, at_b = await net.node()
    c, at_c = await net.node("127.0.0.3")
    with trio.fail_after(20):
        while not b.drops.counts["flood"]:
            for _ in range(50):
                a.send(at_b, b"flood")
            while b._strange:
                await b.receive()
            await trio.lowlevel.checkpoint()
    assert b.drops.latest["flood"] == at_a
    assert c.send(at_b, b"fine")
    with trio.fail_after(5):
        while await b.receive() != (at_c, b"fine"):
            pass


async def test_what_members_say_is_handed_in_before_what_strangers_say(net: Net) -> None:
    a, at_a = await net.node("127.0.0.2")
    b, at_b = await net.node()
    member, at_member = await net.node("127.0.0.3")
    b.is_known = lambda source: source == at_member
    for _ in range(5):
        a.send(at_b, b"stranger")
    member.send(at_b, b"member")
    with trio.fail_after(5):
        while b.counts.received < 6:
            await trio.lowlevel.checkpoint()
    assert await b.receive() == (at_member, b"member")
    assert await b.receive() == (at_a, b"stranger")


@pytest.mark.parametrize("known", [True, False])
async def test_a_slow_reader_costs_datagrams_but_no_memory(net: Net, known: bool) -> None:
    a, _ = await net.node()
    b, at_b = await net.node()
    b.is_known = lambda source: known
    with trio.fail_after(20):
        while not b.drops.counts["overflow"]:
            for _ in range(50):
                a.send(at_b, b"x")
            await trio.lowlevel.checkpoint()
    assert b.counts.received == (QUEUE if known else STRANGE_QUEUE)

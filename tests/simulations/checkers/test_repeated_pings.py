from mesh.wire import messages
from mesh.wire.envelope import seal
from simulations.hosts import Host
from tests.simulations.checkers.watched import Watched


def _datagram(source: Host, target: Host, message: messages.Message) -> bytes:
    assert source.node is not None
    assert source.node.pool is not None
    source.node._context.sent += 1
    body = messages.encode(message)
    return seal(source.node.pool, source.id, source.node._context.sent, body, source.signer, target.id)


def _ping(source: Host, target: Host) -> bytes:
    return _datagram(source, target, messages.Ping(1, bytes(8), 1, 0))


def _arrives(pool: Watched, host: Host, payload: bytes) -> None:
    for arrival in pool.world.arrivals:
        arrival(host, payload)


def _answers(pool: Watched, host: Host, asker: Host) -> None:
    for tap in pool.world.taps:
        tap(host, asker, _datagram(host, asker, messages.Ack(1, bytes(8), 1, 0)))


def test_an_answer_to_a_ping_that_was_answered_before_is_caught() -> None:
    pool = Watched()
    asker, host = pool.hosts[:2]
    ping = _ping(asker, host)
    for _ in range(2):
        assert pool.said == ""
        _arrives(pool, host, ping)
        _answers(pool, host, asker)
    assert pool.said.endswith("replays: host1 answers a ping that it answered before")


def test_a_ping_that_comes_again_may_be_answered_when_it_was_not_at_first() -> None:
    pool = Watched()
    asker, host = pool.hosts[:2]
    ping, another = _ping(asker, host), _ping(asker, host)
    for payload in (ping, another):
        _arrives(pool, host, payload)
    _answers(pool, host, asker)
    _arrives(pool, host, ping)
    _answers(pool, host, asker)
    assert pool.said == ""


def test_another_process_may_answer_it_again() -> None:
    pool = Watched()
    asker, host = pool.hosts[:2]
    ping = _ping(asker, host)
    _arrives(pool, host, ping)
    _answers(pool, host, asker)
    pool.world.crash(host)
    pool.world.restart(host)
    _arrives(pool, host, ping)
    _answers(pool, host, asker)
    assert "replays" not in pool.said

"""What the parts of a Node share: an outbox that knows how large a datagram may be, and timers."""

import random

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import Send, SendStream
from mesh.protocol.base.settings import Settings
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.messages import Bodies
from simulations.signing import KeyedHash, verify

PEER = KeyedHash(2).id
THERE = Endpoint("10.0.0.2", 50052)


def _core() -> Context:
    return Context(Settings(), KeyedHash(1), verify, random.Random(1))


def test_what_a_datagram_cannot_hold_goes_by_stream_if_somebody_is_addressed() -> None:
    core, large = _core(), Bodies((bytes(2000),))
    core.send(PEER, THERE, Bodies((bytes(10),)))
    core.send(PEER, THERE, large)
    core.send(None, THERE, large)
    datagram, stream = core.effects
    assert isinstance(datagram, Send)
    assert stream == SendStream(PEER, THERE, messages.encode(large))


def test_facts_go_in_as_few_datagrams_as_hold_them_and_in_order() -> None:
    core = _core()
    core.send_bodies(PEER, THERE, [bytes([number]) * 300 for number in range(7)])
    assert len(core.effects) == 3
    assert all(isinstance(effect, Send) for effect in core.effects)
    core.effects.clear()
    core.send_bodies(PEER, THERE, [bytes(10), bytes(2000), bytes(10)])
    assert [type(effect) for effect in core.effects] == [Send, SendStream, Send]


def test_a_timer_that_is_set_anew_or_cancelled_fires_no_more() -> None:
    core = _core()
    core.schedule("a", b"", 5.0)
    core.schedule("a", b"", 7.0)
    core.schedule("b", b"", 1.0)
    core.cancel("b", b"")
    first, second, cancelled = (effect.timer for effect in core.effects if hasattr(effect, "timer"))
    assert [core.due(timer) for timer in (first, cancelled, second, second)] == [None, None, 7.0, None]


def test_a_timer_set_by_a_time_is_left_alone_if_it_fires_before() -> None:
    core = _core()
    for at in (5.0, 7.0, 3.0):
        core.schedule_by("a", b"", at)
    assert [effect.at for effect in core.effects if hasattr(effect, "at")] == [5.0, 3.0]


def test_a_timer_that_should_have_fired_long_ago_means_that_the_process_was_paused() -> None:
    core = _core()
    core.schedule("a", b"", 5.0)
    core.now = 5.0 + core.settings.stall
    assert not core.is_late()
    core.now += 0.1
    assert core.is_late()

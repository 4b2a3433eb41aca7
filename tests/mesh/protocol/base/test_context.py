"""What the parts of a Node share: an outbox that knows how large a datagram may be, and timers."""

import dataclasses
import random

import pytest

from mesh.protocol.base.context import NO_POOL, Context
from mesh.protocol.base.effects import Send, SendStream
from mesh.protocol.base.settings import Settings
from mesh.wire import codec, messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import OlderFormError
from mesh.wire.facts import Deployment, Fact, PoolEngine, Voucher
from mesh.wire.messages import Bodies
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from mesh.wire.versions import SPOKEN, Versions
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


WORD = Deployment(NO_POOL, KeyedHash(1).id, 1, Model("m", 1, bytes(32)), 1, 1, True)


@pytest.mark.parametrize(
    "fact",
    [
        dataclasses.replace(WORD, options=(("flash", "on"),)),
        dataclasses.replace(WORD, unknown=codec.pack(["later"])),
        PoolEngine(NO_POOL, KeyedHash(1).id, (1,), b"", "b1234", bytes(32)),
        Voucher(NO_POOL, KeyedHash(1).id, 1, bytes(16), KeyedHash(2).public_key, Rights.WORK | Rights.NO_ASK),
    ],
)
def test_what_the_older_form_has_no_field_for_is_refused_and_never_cut(fact: Fact) -> None:
    core = _core()
    assert not core.sign(fact).is_closed
    core.form = 2
    with pytest.raises(OlderFormError, match="version 2"):
        core.sign(fact)
    assert core.sign(fact, 3) == core.sign(fact, SPOKEN.newest)


def test_a_plain_fact_has_the_same_bytes_in_both_forms() -> None:
    core = _core()
    assert core.sign(WORD, 2) == core.sign(WORD, 3)


def test_what_a_later_program_appends_is_in_its_newest_form_alone() -> None:
    core = Context(Settings(), KeyedHash(1), verify, random.Random(1), Versions(3, 4), codec.pack(["later"]))
    assert core.sign(WORD).fact.unknown == codec.pack(["later"])
    core.form = 3
    assert core.sign(WORD).fact.unknown == b""

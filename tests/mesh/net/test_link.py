"""TLS is left out only where both ends trust the way between them, and see nobody in between."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.net.discovery.tailnet import TailnetPeer, TailnetStatus
from mesh.net.discovery.tailscale import Tailscale, TailscaleError
from mesh.net.link import Trusts, accept_leader, enter_gate, never, trusts_by
from mesh.net.session import Session, StreamError
from mesh.net.stream_ends import Plain
from mesh.wire.endpoint import Endpoint

from .conftest import Lan, members

ANNA, BERT = Endpoint("100.64.0.1", 50052), Endpoint("100.64.0.2", 40000)


async def always(local: Endpoint, remote: Endpoint) -> bool:
    await trio.lowlevel.checkpoint()
    return True


class Daemon(Tailscale):
    """Anna's tailscaled, which knows Bert."""

    def __init__(self, up: bool = True) -> None:
        super().__init__(Path("no socket is opened"))
        self._up = up

    async def status(self) -> TailnetStatus:
        await trio.lowlevel.checkpoint()
        if not self._up:
            raise TailscaleError("stopped", "the tailnet is stopped")
        bert = TailnetPeer("bert", (BERT.host,), "b", (), True, "linux", True, False, False)
        return TailnetStatus("Running", "anna", (ANNA.host,), "a", (), (bert,))


@pytest.mark.parametrize(
    ("local", "remote", "trusted"),
    [
        (Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2), True),
        (Endpoint("::1", 1), Endpoint("::1", 2), True),
        (ANNA, BERT, True),
        (ANNA, Endpoint("100.64.0.9", 1), False),
        (Endpoint("100.64.0.9", 1), BERT, False),
        (Endpoint("192.168.1.2", 1), Endpoint("192.168.1.3", 1), False),
        (Endpoint("fe80::1%eth0", 1), Endpoint("fe80::2%eth0", 1), False),
        (Endpoint("127.0.0.1", 1), Endpoint("192.168.1.3", 1), False),
        (ANNA, Endpoint("192.168.1.3", 1), False),
    ],
)
async def test_loopback_and_the_tailnet_are_trusted_and_nothing_else(
    local: Endpoint, remote: Endpoint, trusted: bool
) -> None:
    assert await trusts_by(Daemon())(local, remote) is trusted


@pytest.mark.parametrize("daemon", [None, Daemon(up=False)])
async def test_a_tailnets_address_means_nothing_without_its_daemons_word(daemon: Tailscale | None) -> None:
    assert not await trusts_by(daemon)(ANNA, BERT)


@dataclass
class Outcome:
    """What each side took, and the bytes that went by after it."""

    kinds: dict[str, str] = field(default_factory=dict)
    heard: bytes = b""


async def agree(
    lan: Lan, leader: Trusts, gate: Trusts, arguments: dict[str, Any], forged: object = None
) -> Outcome:
    outcome = Outcome()

    async def serve(session: Session) -> None:
        end = await accept_leader(session, gate)
        outcome.kinds["gate"] = type(end).__name__
        end.send(b"from the server")
        end.close()

    a, b = await lan.host({}), await lan.host({"tunnel": serve})
    for one in (a, b):
        one.streams.trust(members(a.identity, b.identity))
    session = await a.streams.open(b.id, [b.endpoint], "tunnel", arguments)
    word = await session.receive_message()
    assert word["ok"] is True
    end = await enter_gate(session, word if forged is None else word | {"ends": forged}, leader)
    outcome.kinds["leader"] = type(end).__name__
    while len(outcome.heard) < len(b"from the server"):
        outcome.heard += bytes(await trio.to_thread.run_sync(end.receive))
    end.close()
    await session.aclose()
    return outcome


@pytest.mark.parametrize(
    ("leader", "gate", "arguments", "kind"),
    [
        (always, always, {"plain": True}, "Plain"),
        (never, always, {"plain": True}, "Sealed"),
        (always, never, {"plain": True}, "Sealed"),
        (always, always, {}, "Sealed"),
        (trusts_by(None), trusts_by(None), {"plain": True}, "Plain"),
    ],
    ids=["both", "not the leader", "not the gate", "a leader that cannot", "loopback"],
)
async def test_both_ends_must_agree(
    lan: Lan, leader: Trusts, gate: Trusts, arguments: dict[str, Any], kind: str
) -> None:
    with trio.fail_after(10):
        outcome = await agree(lan, leader, gate, arguments)
    assert outcome.kinds == {"leader": kind, "gate": kind}
    assert outcome.heard == b"from the server"


async def test_somebody_in_between_is_seen_by_the_addresses(lan: Lan) -> None:
    with trio.fail_after(10):
        outcome = await agree(lan, always, always, {"plain": True}, ["127.0.0.1:1", "127.0.0.1:2"])
    assert outcome.kinds == {"leader": "Sealed", "gate": "Sealed"}


class Mute:
    """A leader that could do without TLS, and never says whether it will."""

    arguments = {"plain": True}  # noqa: RUF012
    local = remote = ANNA

    async def send_message(self, message: Any, /) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_message(self, limit: int = 0, /) -> Any:
        await trio.sleep_forever()

    async def unwrap(self) -> Plain:
        raise AssertionError

    def sealed(self) -> Any:
        raise AssertionError


async def test_a_leader_that_does_not_answer_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with pytest.raises(StreamError, match="did not say"):
        await accept_leader(Mute(), always)

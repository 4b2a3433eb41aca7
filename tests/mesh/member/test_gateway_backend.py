"""The gateway's way to the leader: here, at another member, or the reason why there is none."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from leader.door.orders import Refused
from mesh.control.operations import Status
from mesh.gateway.backend import AskingRefused, NothingServed, NotReady, Serving
from mesh.member.gateway_backend import StayBackend, disclosed
from mesh.net.stream_kinds import StreamKind
from mesh.runtime.status import current_state, status
from mesh.serving.asking.door import Caller
from mesh.serving.leader_loop import LeaderLoop
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.states import Phase
from tests.mesh.cli import examples
from tests.mesh.machines import Ground, Here

BARRED = Refused(403, "may_not_ask", "this machine may not ask")
MODEL = Model("small.gguf", 8, b"r" * 32)


class Pretended:
    """A leader loop of which nothing is asked but its door: one that echoes, and notes who came how."""

    def __init__(self, bars: NodeId | None = None) -> None:
        self.bars = bars
        self.came: list[tuple[Caller, StreamKind]] = []
        self.door = self

    def barred(self, peer: NodeId | None) -> Refused | None:
        return BARRED if peer == self.bars else None

    def connect(self, caller: Caller, kind: StreamKind) -> trio.abc.Stream:
        here, there = trio.testing.memory_stream_pair()
        trio.lowlevel.spawn_system_task(self.serve, there, caller, kind)
        return here

    async def serve(self, stream: trio.abc.Stream, caller: Caller, kind: StreamKind) -> None:
        self.came.append((caller, kind))
        while data := await stream.receive_some(100):
            await stream.send_all(data)


def backend(here: Here, leading: Pretended) -> StayBackend:
    assert here.driver is not None

    node, id, keeper = here.node, here.own_pool, here.context.keeper
    made = StayBackend(
        here.streams,
        here.driver,
        cast(LeaderLoop, leading),
        lambda: status(node, id, "pool", keeper.status(), ""),
    )
    here.handlers[StreamKind.API] = made.handle_api
    here.handlers[StreamKind.RESUME] = made.handle_api
    return made


def report(here: Here, phase: Phase, reason: str = "") -> None:
    """Say as the leader how far the deployed model is."""
    assert here.driver is not None
    wanted = here.node.deployment()
    assert wanted is not None
    here.driver.do(here.node.report, wanted.number, phase, 1.0, reason, 0.0, ())


async def told(here: Here, phase: Phase) -> None:
    """Wait until the leader's word that the model has come to ``phase`` is known there."""
    with trio.fail_after(30):
        while (state := current_state(here.node)) is None or state.phase != phase:
            await here.changes.wait(here.changes.count, 1)


async def leader_and_member(ground: Ground, rights: Rights = ALL_RIGHTS) -> tuple[Here, Here]:
    """Anna leads; bert may not. He has these rights."""
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    bert.profile = replace(bert.profile, rank=0)
    anna.found()
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite(rights=rights)))
    await ground.acquaint(anna, bert)
    with trio.fail_after(30):
        while (claim := bert.node.leader()) is None or claim.author != anna.id:
            await bert.changes.wait(bert.changes.count, 1)
    return anna, bert


async def deploy(anna: Here, *others: Here) -> None:
    """Have the model wanted and told ready, and all of them know it."""
    assert anna.driver is not None
    anna.driver.do(anna.node.deploy, MODEL, 128, 1, True, ())
    report(anna, Phase.READY)
    for here in (anna, *others):
        await told(here, Phase.READY)


async def test_nothing_is_served_until_a_model_is_wanted(clock: MockClock, ground: Ground) -> None:
    anna, _ = await leader_and_member(ground)
    one = backend(anna, Pretended())
    with pytest.raises(NothingServed):
        await one.open_leader()
    assert one.serving() is None


async def test_without_a_leader_nobody_is_asked(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.driver is not None
    anna.driver.do(anna.node.deploy, MODEL, 128, 1, True, ())
    one = backend(anna, Pretended())
    with pytest.raises(NotReady, match="no leader"):
        await one.open_leader()
    assert one.serving() is None


@pytest.mark.parametrize(("phase", "lasting"), [(Phase.LOADING, False), (Phase.FAILED, True)])
async def test_a_model_that_is_not_ready_is_not_opened(
    clock: MockClock, ground: Ground, phase: Phase, lasting: bool
) -> None:
    anna, _ = await leader_and_member(ground)
    await deploy(anna)
    report(anna, phase, "for a reason")
    await told(anna, phase)
    with pytest.raises(NotReady, match=f"small.gguf is {phase}: for a reason") as caught:
        await backend(anna, Pretended()).open_leader()
    assert caught.value.lasting is lasting


async def test_the_leader_comes_to_its_own_door(clock: MockClock, ground: Ground) -> None:
    anna, _ = await leader_and_member(ground)
    await deploy(anna)
    leading = Pretended()
    one = backend(anna, leading)
    async with await one.open_leader() as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some(5) == b"hello"
    assert one.serving() == Serving(id_text(anna.id), MODEL.root.hex())
    assert leading.came == [(Caller(id_text(anna.id), True), StreamKind.API)]


@pytest.mark.parametrize(("rights", "is_owner"), [(ALL_RIGHTS, True), (Rights.WORK | Rights.LEAD, False)])
@pytest.mark.parametrize("kind", [StreamKind.API, StreamKind.RESUME])
async def test_a_member_comes_to_the_leaders_door_over_a_stream(
    clock: MockClock, ground: Ground, rights: Rights, is_owner: bool, kind: StreamKind
) -> None:
    anna, bert = await leader_and_member(ground, rights)
    await deploy(anna, bert)
    leading = Pretended()
    backend(anna, leading)
    one = backend(bert, Pretended())
    async with await one.open_leader(kind) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some(5) == b"hello"
    assert one.serving() == Serving(id_text(anna.id), MODEL.root.hex())
    assert leading.came == [(Caller(id_text(bert.id), is_owner), kind)]


@pytest.mark.parametrize("left", [Rights.WORK, Rights.WORK | Rights.NO_ASK])
async def test_a_stream_ends_when_its_members_rights_change(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch, left: Rights
) -> None:
    anna, bert = await leader_and_member(ground)
    await deploy(anna, bert)
    backend(anna, Pretended())
    async with await backend(bert, Pretended()).open_leader() as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some(5) == b"hello"
        monkeypatch.setattr(anna.node, "rights", lambda id: left)
        anna.changes.notify()
        with trio.fail_after(5), suppress(trio.BrokenResourceError):
            assert await stream.receive_some(5) == b""


async def test_a_leader_that_refuses_the_stream_is_not_ready(clock: MockClock, ground: Ground) -> None:
    anna, bert = await leader_and_member(ground)
    await deploy(anna, bert)
    one = backend(bert, Pretended())
    del anna.handlers[StreamKind.API]
    with pytest.raises(NotReady, match="the leader does not answer"):
        await one.open_leader()


async def test_a_member_without_the_right_to_ask_opens_nothing(clock: MockClock, ground: Ground) -> None:
    anna, bert = await leader_and_member(ground, Rights.parse("work,lead"))
    opened: list[object] = []
    anna.handlers[StreamKind.API] = cast(Any, opened.append)
    with pytest.raises(AskingRefused) as caught:
        await backend(bert, Pretended()).open_leader()
    assert (caught.value.refused.code, caught.value.lasting, opened) == ("may_not_ask", True, [])


async def test_a_leader_refuses_a_member_whose_gateway_does_not(clock: MockClock, ground: Ground) -> None:
    anna, bert = await leader_and_member(ground)
    await deploy(anna, bert)
    backend(anna, Pretended(bars=bert.id))
    async with await backend(bert, Pretended()).open_leader() as stream:
        received = b""
        while piece := await stream.receive_some(1000):
            received += piece
    assert received.startswith(b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n")
    assert b'"code":"may_not_ask"' in received


def test_what_the_api_tells_names_no_folder() -> None:
    path, problem = (
        "cannot read /home/anna/secret place",
        {"code": "engine_memory", "member": None, "hint": ""},
    )
    deployment = {**examples.status()["deployment"], "reason": path}
    whole = examples.status(
        engine={"state": "failed", "progress": 0.0, "reason": path},
        deployment=deployment,
        deployments=[{"name": "", **deployment}],
        problems=[{**problem, "message": path}],
        trouble=path,
    )
    told = disclosed(cast(Status, whole))
    assert "/home/anna" not in str(told)
    assert str(told).count("cannot read secret place") == 5
    assert disclosed(cast(Status, examples.status(deployment=None)))["deployment"] is None
    assert disclosed(cast(Status, examples.status())) == examples.status()

"""Each kind of stream has its handler, and one that the product does not know needs one line more."""

import pytest
import trio
from trio.testing import MockClock

from mesh.net.session import Session, StreamClosed, StreamRefused
from mesh.net.session_stream import SessionStream
from mesh.net.stream_kinds import StreamKind
from mesh.root.stream_table import stream_handlers
from mesh.wire.rights import Rights
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members


async def acquainted(ground: Ground) -> tuple[Here, Here]:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    for here in (anna, bert):
        here.streams.trust(members(anna.identity, bert.identity))
    return anna, bert


async def count(session: Session) -> None:
    """A toy: answers with how many letters the argument has."""
    await session.send_message(len(session.arguments["word"]))


async def test_a_toy_kind_is_served_by_its_line_in_the_table(clock: MockClock, ground: Ground) -> None:
    anna, bert = await acquainted(ground)
    with pytest.raises(StreamRefused, match="serves no stream of kind 'count'"):
        await bert.streams.open(anna.id, [anna.endpoint], "count", {"word": "mesh"})
    anna.handlers["count"] = count
    session = await bert.streams.open(anna.id, [anna.endpoint], "count", {"word": "mesh"})
    assert await session.receive_message() == 4
    await session.aclose()


async def test_every_kind_but_a_probe_has_a_handler(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    table = stream_handlers(anna.admission_server, lambda: None)
    assert set(table) == set(StreamKind) - {StreamKind.PROBE}


OF_A_STAY = sorted(set(StreamKind) - {"probe", "admit", "redeem", "approve"})


@pytest.mark.parametrize("kind", OF_A_STAY)
async def test_without_a_stay_a_stream_that_asks_a_member_ends_at_once(
    clock: MockClock, ground: Ground, kind: StreamKind
) -> None:
    anna, bert = await acquainted(ground)
    session = await bert.streams.open(anna.id, [anna.endpoint], kind)
    with pytest.raises(StreamClosed), trio.fail_after(5):
        await session.receive_message()
    await session.aclose()


async def test_in_a_stay_a_member_is_answered_by_the_part_that_its_kind_means(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    await nursery.start(anna.stays().run)
    invite = anna.invite(rights=Rights.WORK | Rights.LEAD)
    bert.enter(await bert.search().by_host(anna.endpoint, invite))

    async def answer(kind: StreamKind, **arguments: object) -> object:
        session = await bert.streams.open(anna.id, [anna.endpoint], kind, arguments)
        try:
            return await session.receive_message()
        finally:
            await session.aclose()

    assert await answer(StreamKind.TUNNEL) == {
        "ok": False,
        "reason": "the worker's engine is not ready",
    }
    assert await answer(StreamKind.MOVE, now=True) == {"refused": "only owners may move what runs"}
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.FETCH)
    await session.send_message({})
    only_owners = ["failed", "only owners may have a member download", "type this on an owner's machine"]
    assert await session.receive_message() == {"error": only_owners}
    await session.aclose()
    refused = await answer(StreamKind.COPY, model=bytes(32))
    assert isinstance(refused, dict)
    assert refused["ok"] is False
    assert await answer(StreamKind.COPIES, model=bytes(32)) is not None
    for kind in (StreamKind.API, StreamKind.RESUME):
        async with SessionStream(await bert.streams.open(anna.id, [anna.endpoint], kind)) as stream:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 503 ")

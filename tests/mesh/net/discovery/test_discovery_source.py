"""A source that the product does not know, a toy, takes part in all of discovery by one line."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from mesh.admission.handshake import Uninvited
from mesh.admission.invites import Token
from mesh.net.discovery.discovery_source import DiscoverySource, OwnerCheck
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId
from tests.mesh.machines import Ground


class NoticeBoard(DiscoverySource):
    """Endpoints that somebody has pinned up; with ``owner`` it also says whose the machines are."""

    name = "notice board"

    def __init__(self, *pinned: Endpoint, owner: str = "") -> None:
        self.pinned = list(pinned)
        self.ownership = self if owner else None
        self._owner = owner

    async def endpoints(self, pool: PoolId | None) -> Sequence[Endpoint]:
        return self.pinned

    async def check_owner(self, remote: Endpoint) -> OwnerCheck | None:
        known = remote.host in [endpoint.host for endpoint in self.pinned]
        return OwnerCheck(self._owner == "alice", "it", f"belongs to {self._owner}") if known else None


async def test_a_joiner_with_a_token_finds_the_pool_by_it(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    bert = await ground.machine("bert", sources=[NoticeBoard(anna.endpoint)])
    anna.found()
    token = anna.invite()
    blank = Token(token.pool, token.issuer, token.secret, ())
    assert (await bert.search().by_token(blank)).pool == anna.own_pool


async def test_a_member_finds_the_others_by_it(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, board = await ground.machine("anna"), NoticeBoard()
    bert = await ground.machine("bert", sources=[board])
    await nursery.start(anna.stays().run)
    admitted = await bert.search().by_host(anna.endpoint, anna.invite())
    stay = bert.stays(type(admitted)(admitted.pool, admitted.chain, ()))
    await nursery.start(stay.run)
    await trio.sleep(20)
    assert len(stay.node.members()) == 1
    board.pinned.append(anna.endpoint)
    with trio.fail_after(20):
        while len(stay.node.members()) < 2:
            await bert.changes.wait(bert.changes.count, 1)


async def test_machines_of_one_owner_join_by_its_word_alone(clock: MockClock, ground: Ground) -> None:
    boards = NoticeBoard(owner="alice"), NoticeBoard(owner="alice")
    anna = await ground.machine("anna", sources=boards[:1])
    bert = await ground.machine("bert", sources=boards[1:])
    for board in boards:
        board.pinned.extend((anna.endpoint, bert.endpoint))
    anna.found()
    admitted = await bert.search().anywhere()
    assert admitted is not None
    assert admitted.pool == anna.own_pool
    assert bert.said[0] == "searching the notice board"


@pytest.mark.parametrize(
    ("owner", "pinned", "said"),
    [
        ("", True, "this pool admits by invite"),
        ("bob", True, "it belongs to bob"),
        ("alice", False, "you are no machine of this pool's notice board"),
    ],
)
async def test_a_member_admits_by_ownership_only_whom_it_proves(
    clock: MockClock, ground: Ground, owner: str, pinned: bool, said: str
) -> None:
    board = NoticeBoard(owner=owner)
    anna, bert = await ground.machine("anna", sources=[board]), await ground.machine("bert")
    board.pinned.extend([bert.endpoint] if pinned else [])
    anna.found()
    with pytest.raises(Uninvited, match=said):
        await bert.search().by_host(anna.endpoint, None)

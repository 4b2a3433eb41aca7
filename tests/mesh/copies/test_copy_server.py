"""A holder gives what it holds, to so many members and no more, and notices when its files change."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from leader.model import model_hash
from mesh.copies import copy_server
from mesh.copies.copy_server import BLOCK, CopyServer
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from tests.mesh.copies.sources import Weights, honest, weights
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members

PIECE = 100_000
CONTENT = random.Random(4).randbytes(2 * PIECE + 5)


class Pair:
    def __init__(self, anna: Here, bert: Here, weights: Weights) -> None:
        self.anna = anna
        self.bert = bert
        self.weights = weights
        self.serving: CopyServer = honest(bert, weights)

    @asynccontextmanager
    async def ask(self, root: bytes | None = None) -> AsyncIterator[tuple[Session, Any]]:
        arguments = {"model": self.weights.tree.root if root is None else root}
        session = await self.anna.streams.open(self.bert.id, [self.bert.endpoint], StreamKind.COPY, arguments)
        try:
            yield session, await session.receive_message()
        finally:
            await session.aclose()


@pytest.fixture
async def pair(tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(model_hash, "PIECE", PIECE)
    ground = Ground(nursery, tmp_path)
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    for here in (anna, bert):
        here.streams.trust(members(anna.identity, bert.identity))
    with trio.fail_after(60):
        yield Pair(anna, bert, weights(tmp_path, CONTENT))
    nursery.cancel_scope.cancel()
    ground.close()


async def receive(session: Session, count: int) -> bytes:
    content = b""
    while len(content) < count:
        content += await session.receive_message(BLOCK + 16)
    return content


async def test_the_tree_and_every_piece_are_given_for_the_asking(pair: Pair) -> None:
    async with pair.ask() as (session, answer):
        assert answer == {"ok": True, "sizes": [len(CONTENT)]}
        await session.send_message({"tree": True})
        assert await receive(session, 3 * 32) == b"".join(pair.weights.tree.files[0].leaves)
        for number in (2, 0):
            piece = pair.weights.tree.piece(number)
            await session.send_message({"piece": number})
            given = await receive(session, piece.length)
            assert given == CONTENT[piece.offset : piece.offset + piece.length]


async def test_a_model_that_is_not_here_is_refused_with_the_reason(pair: Pair) -> None:
    async with pair.ask(root=bytes(32)) as (_, answer):
        assert answer == {"ok": False, "reason": "it is not here any more"}


@pytest.mark.parametrize("request_", [{"piece": 3}, {"piece": -1}, {"piece": "x"}, {}, "tree", 7, None])
async def test_nonsense_ends_the_stream(pair: Pair, request_: object) -> None:
    async with pair.ask() as (session, _):
        await session.send_message(request_)
        with pytest.raises(StreamError, match=r"closed|broke off"):
            await session.receive_message()


async def test_a_member_that_may_not_lead_gets_nothing(pair: Pair) -> None:
    honest(pair.bert, pair.weights, lambda peer: peer != pair.anna.id)
    async with pair.ask() as (_, answer):
        assert answer == {"ok": False, "reason": "only members that may lead copy models"}


async def test_files_that_change_while_they_are_copied_are_given_no_more(pair: Pair) -> None:
    async with pair.ask() as (session, _):
        pair.weights.files[0].write_bytes(CONTENT[::-1])
        await session.send_message({"piece": 0})
        assert await session.receive_message() == {"gone": "its files were changed"}


async def test_one_member_does_not_take_all_places(pair: Pair) -> None:
    async with pair.ask() as (_, one), pair.ask() as (_, two), pair.ask() as (_, three):
        assert (one["ok"], two["ok"]) == (True, True)
        assert three == {"ok": False, "reason": "too many copy from here already"}


async def test_a_member_that_asks_for_nothing_loses_its_place(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_server, "REQUEST_SECONDS", 0.05)
    async with pair.ask() as (session, answer):
        assert answer["ok"]
        with pytest.raises(StreamError, match=r"closed|broke off"):
            await session.receive_message()


async def test_what_leaves_is_paced_by_the_round_trips_to_who_gets_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_server, "JUDGE_SECONDS", 0.0)
    trips = {pair.anna.id: 0.001}
    pair.serving._round_trips = lambda: trips
    async with pair.ask() as (session, _):
        await session.send_message({"piece": 0})
        await receive(session, PIECE)
        calm = pair.serving.rate
        trips[pair.anna.id] = 0.5
        await session.send_message({"piece": 1})
        await receive(session, PIECE)
        assert 0 < pair.serving.rate < calm

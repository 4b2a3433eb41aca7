"""The copier's end of a stream to one holder; that copies come right by it: test_copy_fetch.py."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from leader.model import model_hash
from mesh.copies import copy_source
from mesh.copies.copy_source import CopySource, NoSource, WrongData
from tests.mesh.copies.sources import Scripted, Weights, honest, weights
from tests.mesh.machines import Ground, Here
from tests.mesh.net.conftest import members

CONTENT = bytes(range(256)) * 20


@pytest.fixture
async def pair(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[tuple[Here, Here]]:
    ground = Ground(nursery, tmp_path)
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    for here in (anna, bert):
        here.streams.trust(members(anna.identity, bert.identity))
    with trio.fail_after(60):
        yield anna, bert
    nursery.cancel_scope.cancel()
    ground.close()


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    monkeypatch.setattr(model_hash, "PIECE", 1000)
    return weights(tmp_path, CONTENT)


async def opened(pair: tuple[Here, Here], held: Weights) -> CopySource:
    anna, bert = pair
    return await CopySource.open(anna.streams, held.model, bert.id, [bert.endpoint])


async def test_tree_and_pieces_come_over_one_stream(
    pair: tuple[Here, Here], held: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_source, "CHUNK", 300)
    Scripted(held).at(pair[1])
    heard = []
    async with aclosing(await opened(pair, held)) as source:
        tree = await source.tree()
        assert tree.files == held.tree.files
        for number in (5, 1):
            await source.request(tree.piece(number))
            left = tree.piece(number).length
            chunk = await source.chunk(left, lambda: heard.append(True))
            assert chunk == CONTENT[number * 1000 : number * 1000 + left]
    assert len(heard) == 2


async def test_a_holder_that_refuses_says_why(pair: tuple[Here, Here], held: Weights) -> None:
    honest(pair[1], held, may_copy=lambda peer: False)
    with pytest.raises(NoSource, match="only members that may lead"):
        await opened(pair, held)


async def test_a_tree_that_is_not_the_models_is_refused(pair: tuple[Here, Here], held: Weights) -> None:
    Scripted(held, leaves=bytes(6 * 32)).at(pair[1])
    async with aclosing(await opened(pair, held)) as source:
        with pytest.raises(WrongData):
            await source.tree()


async def test_more_than_a_piece_has_is_refused(pair: tuple[Here, Here], held: Weights) -> None:
    Scripted(held, change=lambda number, data: data + b"more").at(pair[1])
    async with aclosing(await opened(pair, held)) as source:
        await source.request(held.tree.piece(0))
        with pytest.raises(WrongData, match="no part of the model"):
            await source.chunk(1000)

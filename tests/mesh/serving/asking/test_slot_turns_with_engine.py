"""Turns on the real llama-server: nobody goes on with another domain's prompt, all with their own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from leader.door.slots.parking_cost import ParkingCost
from leader.door.slots.slot_table import SlotTable
from leader.llama.slots import Slots
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from mesh.engine.types import Engine
from mesh.serving.asking.slot_turns import SlotTurns
from mesh.tools.generator import ModelSpec, generate
from tests.leader.llama.bare_server import bare_server
from tests.leader.shapes import GIB, host, model_info
from tests.mesh.serving.slot_completion import asked, beginnings, complete

PROMPT = " ".join(f"{number} bottles of beer on the wall," for number in range(60))
CONTEXT = 2048
SLOTS = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("model") / "small.gguf", ModelSpec(layers=4, n_embd=128))[0]


@asynccontextmanager
async def turns_of(engine: Engine, model: Path, folder: Path) -> AsyncIterator[SlotTurns]:
    slots = Slots(
        folder / "slots", place(model_info(8), [host(memory=GIB)], EngineSettings(CONTEXT, SLOTS)), b"m" * 32
    )
    assert slots.prepare(restore=False)
    arguments = ["-c", str(CONTEXT * SLOTS), "-np", str(SLOTS), "--no-kv-unified", "--device", "none"]
    arguments += ["--slot-save-path", f"{slots.files}/"]
    async with (
        bare_server(engine.llama_server, model, folder, *arguments) as url,
        trio.open_nursery() as nursery,
    ):
        connect = partial(trio.open_tcp_stream, "127.0.0.1", int(url.rpartition(":")[2]))
        table = SlotTable(SLOTS, slots.places, ParkingCost(100))  # small files: all is worth one
        turns = SlotTurns(table, connect, slots)
        await nursery.start(turns.run)
        yield turns
        nursery.cancel_scope.cancel()


async def test_each_domain_goes_on_with_its_own_alone(engine: Engine, model: Path, tmp_path: Path) -> None:
    async with turns_of(engine, model, tmp_path) as turns:
        for domain in "abcd":
            assert (await complete(turns, domain, PROMPT, 4)).cached == 0, "the same text, asked by others"
        for domain in "abcd":
            answer = await complete(turns, domain, PROMPT + " and so on", 4)
            assert answer.cached > 300, "though its slot was taken twice"


async def test_a_client_that_hangs_up_leaves_nothing_to_others(
    engine: Engine, model: Path, tmp_path: Path
) -> None:
    async with turns_of(engine, model, tmp_path) as turns, trio.open_nursery() as nursery:
        for domain in ("a", "b"):
            with trio.move_on_after(0.05):
                await complete(turns, domain, PROMPT, 1500)
        for domain in ("c", "d", "b", "a"):
            nursery.start_soon(expect, turns, domain, domain in "ab")
        with trio.fail_after(20):
            await trio.lowlevel.checkpoint()


async def expect(turns: SlotTurns, domain: str, own: bool) -> None:
    answer = await complete(turns, domain, PROMPT, 4)
    assert own or answer.cached == 0


async def test_a_busy_engine_is_waited_for(engine: Engine, model: Path, tmp_path: Path) -> None:
    async with turns_of(engine, model, tmp_path) as turns, trio.open_nursery() as nursery:
        for domain in "abab":
            nursery.start_soon(complete, turns, domain, PROMPT, 50)
        async with turns.turn("c", beginnings(PROMPT)) as turn:
            assert (await asked(turn, PROMPT, 4, 0.0)).cached == 0

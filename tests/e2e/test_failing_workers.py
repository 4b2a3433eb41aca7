"""Workers whose rpc-server fails, for real: who is left out, for how long, and with which words.

In each pool the leader and the one that fails hold the model best; the other two can stand in for it.
"""

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.control.paths import log_path
from mesh.engine.types import Engine
from mesh.serving.leader_loop import LACKS_MEMORY
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from tests.e2e.pools import PATIENCE, alive, chat, found, holders, is_ready, join, leader, status_when
from tests.lab import unruly_engine
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.unruly_engine import WORDS
from tests.waiting import until

MODEL_BYTES, LAYERS = 24_000_000, 12
MOST, LESS = "46M", "30M"
"""What hosts offer: the model fits on two that offer most, or on one of these and two others."""
LOADS = 3
VERDICTS = ("not to blame", "left out for a while")
SERVE = ("--ctx", "512", "--slots", "1", "--copies", "1")


@dataclass
class Failing:
    """The leader, its worker that fails, and the two that can stand in for it; the first one may lead."""

    anna: Host
    mallory: Host
    others: tuple[Host, ...]
    model: Path
    elsewhere: int = 0
    """How many loads had nothing to do with mallory: see `serve`."""

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (self.anna, self.mallory, *self.others)

    def loads(self) -> int:
        """How often a llama-server was started since mallory was to hold layers."""
        started = sum(_log(host).count("starting frankenstein.gguf on") for host in self.hosts)
        return started - self.elsewhere


def _log(host: Host) -> str:
    state = next(host.folder.rglob("settings.json")).parent
    return Path(log_path(str(state))).read_text()


async def form(lab: Lab, folder: Path, unruly: Path | None = None, others: int = 2) -> Failing:
    """The pool, once all lend themselves; mallory's engine is ``unruly``."""
    model = folder / "frankenstein.gguf"
    generate(model, spec_of_size(MODEL_BYTES, ModelSpec(layers=LAYERS)))
    anna, mallory, *rest = lab.hosts(2 + others)
    if unruly is not None:
        mallory.environment["MESH_LLAMA_DIR"] = str(unruly)
    token = found(anna, "--memory", MOST)
    join(mallory, token, "--memory", MOST, "--no-lead")
    for number, host in enumerate(rest):
        join(host, token, "--memory", LESS, *(["--no-lead"] if number else []))
    pool = Failing(anna, mallory, tuple(rest), model)

    def whole(status: dict[str, Any]) -> bool:
        lending = {member["name"] for member in status.get("members", []) if member["llama_cpp"]}
        return lending == alive(status) == {host.name for host in pool.hosts}

    await status_when(anna, whole)
    return pool


async def serve(pool: Failing) -> None:
    """Serve the model until mallory holds layers, or has failed to.

    A busy machine's round trips vary, and may make the others hold them: then it is stopped, and served anew.
    """
    with trio.fail_after(PATIENCE):
        while True:
            if await held_by(pool) == {pool.anna.name, pool.mallory.name}:
                await pool.anna.amesh("serve", pool.model, *SERVE, "--wait", timeout=120)
                status = pool.anna.status()
                if pool.mallory.name in holders(status) or left_out(status):
                    return
                await pool.anna.amesh("stop")
                pool.elsewhere += pool.loads()
            await trio.sleep(0.2)


async def held_by(pool: Failing) -> set[str]:
    """Who would hold layers."""
    plan = await pool.anna.amesh_json("plan", pool.model, "--ctx", "512", "--slots", "1")
    return {stage["name"] for stage in plan["stages"] if stage["layers"]}


def left_out(status: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Who is left out, by name: for how many seconds more, and why."""
    found = {member["name"]: member["quarantine"] for member in status["members"]}
    return {name: (one["seconds"], one["reason"]) for name, one in found.items() if one is not None}


async def served_by_others(pool: Failing) -> tuple[int, str]:
    """Wait until the others serve; for how long mallory alone is left out, and why."""

    def holds(status: dict[str, Any]) -> bool:
        served = is_ready(status) and pool.mallory.name not in holders(status)
        return served and bool(left_out(status))

    status = await status_when(pool.anna, holds)
    assert left_out(status).keys() == {pool.mallory.name}, _log(pool.anna)
    assert await chat(pool.anna, 4)
    assert pool.loads() <= LOADS
    return left_out(status)[pool.mallory.name]


async def test_what_aborts_at_each_load_is_left_out_and_told_with_its_words(
    lab: Lab, tmp_path: Path, engine: Engine
) -> None:
    pool = await form(lab, tmp_path, unruly_engine.aborts_at_graphs(tmp_path / "unruly", engine))
    anna, mallory, bert = pool.anna, pool.mallory, pool.others[0]
    await serve(pool)
    seconds, reason = await served_by_others(pool)
    assert 0 < seconds <= 60
    assert WORDS in reason
    shown = bert.mesh("status").stdout
    assert "left out" in shown
    assert WORDS in shown
    bert.mesh("serve", pool.model, *SERVE, "--wait", timeout=120)  # it holds the file as well now
    anna.kill_sidecar()
    status = await status_when(bert, lambda status: leader(status) == bert.name)
    status = await status_when(bert, lambda status: bool(left_out(status)))
    assert WORDS in left_out(status)[mallory.name][1]


async def test_where_nothing_else_can_serve_the_wait_ends_with_the_words(
    lab: Lab, tmp_path: Path, engine: Engine
) -> None:
    unruly = unruly_engine.aborts_at_graphs(tmp_path / "unruly", engine)
    pool = await form(lab, tmp_path, unruly, others=0)
    ended = await pool.anna.amesh("serve", pool.model, *SERVE, "--wait", check=False, timeout=120)
    assert ended.returncode == 1
    assert WORDS in ended.stderr
    assert "frankenstein.gguf cannot be served: " in ended.stderr
    assert pool.loads() <= LOADS
    pool.anna.kill_sidecar().wait(10)
    await pool.anna.amesh("join")
    status = await status_when(pool.anna, lambda status: "members" in status and bool(left_out(status)))
    assert WORDS in left_out(status)[pool.mallory.name][1], "it knows its own word from before"


async def test_an_rpc_server_that_stands_still_is_left_out(lab: Lab, tmp_path: Path, engine: Engine) -> None:
    pool = await form(lab, tmp_path)
    await serve(pool)
    stands = pool.mallory.engine("rpc-server")
    assert stands is not None
    assert pool.mallory.name in holders(pool.anna.status())
    stands.send_signal(signal.SIGSTOP)
    _, reason = await served_by_others(pool)
    assert reason
    with trio.fail_after(PATIENCE):
        await until(lambda: pool.mallory.engine("rpc-server") not in (None, stands))


async def test_what_offers_memory_that_is_not_there_is_left_out(
    lab: Lab, tmp_path: Path, engine: Engine
) -> None:
    pool = await form(lab, tmp_path, unruly_engine.lacks_memory(tmp_path / "unruly", engine, 20_000))
    await serve(pool)
    _, reason = await served_by_others(pool)
    assert LACKS_MEMORY in reason


@pytest.mark.parametrize("silent", [False, True], ids=["unplugged", "silent"])
async def test_who_is_cut_off_by_the_network_is_not_blamed(
    lab: Lab, tmp_path: Path, engine: Engine, silent: bool
) -> None:
    pool = await form(lab, tmp_path)
    await serve(pool)
    name, blamed = pool.mallory.name, set[str]()
    assert name in holders(pool.anna.status())
    pool.mallory.cut(silent)

    def noting(holds: bool, status: dict[str, Any]) -> bool:
        blamed.update(left_out(status))
        return holds

    await status_when(
        pool.anna, lambda status: noting(is_ready(status) and name not in holders(status), status)
    )
    assert await chat(pool.anna, 4)
    pool.mallory.heal()
    await status_when(pool.anna, lambda status: noting(name in alive(status) and is_ready(status), status))
    with trio.fail_after(PATIENCE):
        await until(lambda: any(f"{name} is {verdict}" in _log(pool.anna) for verdict in VERDICTS))
    assert f"{name} is {VERDICTS[1]}" not in _log(pool.anna)
    assert blamed == set()

"""What a leader learns of a worker's rpc-server after a tunnel broke, and from whom it learns nothing."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.process.supervise import State
from mesh.net.stream_kinds import StreamKind
from mesh.serving.last_words import MAX_BYTES, MAX_LINES, MAX_REASON, LastWords, last_words, read_words
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.facts import Claim
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from tests.waiting import until
from tests.worker.lent import Lent
from worker.rpc_servers import LentDevice

DEVICES = (Lent("CUDA0", "CUDA0", "cpu"), Lent("CPU", "CPU", "cpu"))


@pytest.fixture
async def ground(tmp_path: Path, nursery: trio.Nursery) -> Any:
    """Machines in real time, for processes do not care for any other."""
    ground = Ground(nursery, tmp_path)
    with trio.fail_after(30):
        yield ground
    nursery.cancel_scope.cancel()
    ground.close()


async def pool(ground: Ground, nursery: trio.Nursery, folder: Path, rights: Rights) -> tuple[Here, Here]:
    """bert, an owner that works, and anna, a member with these rights."""
    bert, anna = await ground.machine("bert"), await ground.machine("anna")
    bert.found()
    anna.enter(await anna.search().by_host(bert.endpoint, bert.invite(rights=rights)))
    await ground.acquaint(bert, anna)
    machine = bert.machine(fake_engine(folder / "engine"))
    bert.work = WorkerLoop(machine, lambda: None)
    bert.work.lend(DEVICES)
    nursery.start_soon(bert.work.run)
    await until(lambda: bert.work is not None and all(map(server_is_ready(bert.work), DEVICES)))
    return bert, anna


def server_is_ready(work: WorkerLoop) -> Callable[[LentDevice], bool]:
    def look(device: LentDevice) -> bool:
        server = work.serving([device.name])
        return server is not None and server.state is State.READY

    return look


async def ask(asker: Here, worker: Here, *devices: str) -> LastWords | None:
    assert asker.driver is not None
    return await last_words(asker.context, asker.driver, worker.id, devices)


def die(worker: Here, device: str) -> None:
    assert worker.work is not None
    server = worker.work.serving([device])
    assert server is not None
    os.kill(server.pid or 0, signal.SIGABRT)


async def test_the_lease_holder_learns_how_the_devices_rpc_server_ended(
    ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    bert, anna = await pool(ground, nursery, tmp_path, Rights.LEAD)
    assert bert.work is not None
    bert.work.holder = lambda: Claim(bert.own_pool, anna.id, 7, 1)
    die(bert, "CPU")
    words = await ask(anna, bert, "CPU")
    assert words is not None
    assert (words.ended, words.reason) == (True, "rpc-server (CPU) was killed by SIGABRT")
    assert words.lines[-1] == "Client connection closed"
    assert words.text == "rpc-server (CPU) was killed by SIGABRT", "what it says of clients is no reason"
    assert await ask(anna, bert, "CUDA0") == await ask(anna, bert, "") == LastWords(False)


async def test_an_owner_is_told_too_and_nobody_else(
    ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    bert, anna = await pool(ground, nursery, tmp_path, Rights.LEAD)
    die(bert, "CPU")
    assert await ask(anna, bert, "CPU") is None
    assert bert.driver is not None
    bert.driver.do(bert.node.vouch, anna.identity.public_key, ALL_RIGHTS)
    words = await ask(anna, bert, "CPU")
    assert words is not None
    assert words.ended


@pytest.mark.parametrize("devices", [["CUDA7"], ["CPU", "CPU"]])
async def test_of_devices_that_are_not_lent_nothing_is_said(
    ground: Ground, nursery: trio.Nursery, tmp_path: Path, devices: list[str]
) -> None:
    bert, carl = await pool(ground, nursery, tmp_path, Rights.OWN)
    assert await ask(carl, bert, *devices) is None


async def test_to_ask_changes_nothing(ground: Ground, nursery: trio.Nursery, tmp_path: Path) -> None:
    bert, carl = await pool(ground, nursery, tmp_path, Rights.OWN)
    assert bert.work is not None
    before = [bert.work.serving([device.name]) for device in DEVICES]
    assert await ask(carl, bert, "CPU", "CUDA0") == LastWords(False)
    assert [bert.work.serving([device.name]) for device in DEVICES] == before


async def test_a_worker_that_is_gone_or_older_says_nothing(
    ground: Ground, nursery: trio.Nursery, tmp_path: Path
) -> None:
    bert, carl = await pool(ground, nursery, tmp_path, Rights.OWN)
    del bert.handlers[StreamKind.WORDS]
    assert await ask(carl, bert, "CPU") is None
    assert carl.driver is not None
    with trio.fail_after(10):
        assert await last_words(carl.context, carl.driver, b"x" * 32, ["CPU"]) is None


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ANSWERS = ANYTHING | st.fixed_dictionaries(
    {
        "ended": st.booleans() | ANYTHING,
        "reason": st.text() | ANYTHING,
        "lines": st.lists(st.text(max_size=3000) | ANYTHING, max_size=40) | ANYTHING,
    }
)


@given(ANSWERS)
def test_a_strangers_word_is_bounded_printable_text_or_nothing(answer: object) -> None:
    words = read_words(answer)
    if words is not None:
        assert len(words.reason) <= MAX_REASON
        assert len(words.lines) <= MAX_LINES
        assert sum(len(line.encode()) for line in words.lines) <= MAX_BYTES
        assert all(text.isprintable() for text in (words.reason, *words.lines, words.text))
        assert words.ended or words == LastWords(False)


def test_the_last_lines_are_kept_and_folders_are_not() -> None:
    lines = [f"line {number}" for number in range(30)] + ["/home/bert/ggml-cuda.cu:97: out\x1b of memory"]
    words = read_words({"ended": True, "reason": "rpc-server was killed by SIGABRT", "lines": lines})
    assert words is not None
    assert (words.lines[0], words.lines[-1]) == ("line 11", "ggml-cuda.cu:97: out  of memory")
    assert words.text == "rpc-server was killed by SIGABRT: ggml-cuda.cu:97: out  of memory"

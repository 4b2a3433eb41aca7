"""The engine computes with as many threads as its machine lets it: affinity and quotas count."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import trio

from tests.e2e.pools import PATIENCE, chat, found, is_ready, make_model, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab
from tests.lab.quotas import inside, quota
from tests.waiting import until

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif(
        not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
        reason="one processor is no fewer than there are",
    ),
]


def threads(host: Host, program: str) -> int:
    """How many threads an engine's program was told to use."""
    process = host.engine(program)
    assert process is not None, program
    words = process.cmdline()
    return int(words[words.index("-t") + 1])


async def serve_bounded(host: Host, model: Path, bounded: Callable[[Sequence[str]], list[str]]) -> None:
    """Join as a program that is ``bounded``, and serve from there."""
    host.run(bounded(host.mesh_command("join", "--found", "--memory", "400M", "--tailscaled-socket", "off")))
    host.mesh("serve", model, "--ctx", "512", "--slots", "1", "--wait", timeout=120)
    await status_when(host, is_ready)
    assert await chat(host, 4)


async def test_a_program_on_one_processor_computes_with_one_thread(lab: Lab, tmp_path: Path) -> None:
    if shutil.which("taskset") is None:
        pytest.skip("there is no taskset")
    (anna,) = lab.hosts(1)
    first = str(min(os.sched_getaffinity(0)))
    model = make_model(tmp_path, size=40_000_000)
    await serve_bounded(anna, model, lambda argv: ["taskset", "-c", first, *argv])
    assert (threads(anna, "rpc-server"), threads(anna, "llama-server")) == (1, 1)


async def test_a_program_with_one_processors_time_computes_with_one_thread(tmp_path: Path) -> None:
    model = make_model(tmp_path, size=40_000_000)
    with quota(1.0) as group, Lab(with_namespaces=False) as lab:
        (anna,) = lab.hosts(1)
        await serve_bounded(anna, model, lambda argv: inside(group, argv))
        assert (threads(anna, "rpc-server"), threads(anna, "llama-server")) == (1, 1)


async def test_a_program_that_nothing_bounds_computes_with_several_threads(lab: Lab) -> None:
    (anna,) = lab.hosts(1)
    found(anna)
    await status_when(anna, lambda status: status["engine"]["state"] == "ready")
    with trio.fail_after(PATIENCE):
        await until(lambda: anna.engine("rpc-server") is not None)
    assert threads(anna, "rpc-server") > 1

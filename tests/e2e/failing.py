"""A pool of five whose parts are made to fail while an answer streams from it, and put right again."""

import json
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from mesh.control.control_client import ask
from mesh.control.control_errors import ControlError
from mesh.control.paths import log_path
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.wire.identity import parse_id
from tests.e2e.pools import QUESTION, alive, client, found, holders, is_ready, join, leader
from tests.lab.host import Host
from tests.lab.lab import Lab

MODEL_BYTES, LAYERS = 24_000_000, 12
BIG = "46M"
"""What hosts offer: the model fits on none, and on any two."""
HOLDERS = 3
"""So many have the model's file."""
TOKENS, CONTEXT = 400, 1024
SERVE = ("--ctx", str(CONTEXT), "--slots", "1", "--copies", "1")
"""No copies: who leads next is one of the three that were given the file."""
PROMPT = "Once upon a time"
ANSWER_SECONDS = 90.0
SETTLE_SECONDS = 60.0
STATUS_SECONDS = 5.0
CHAT, NATIVE = "/v1/chat/completions", "/completion"
PAUSE = ": waiting for a leader"

Strike = Callable[[], None]


@dataclass
class Answer:
    """What a client got: text, the ids that came with it, and after how many tokens there was a pause."""

    text: str = ""
    tokens: int = 0
    ids: list[int] = field(default_factory=list)
    pauses: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each token came, by the clock of trio, in seconds."""


class Five:
    """Four big hosts, of which three hold the model, and a small one whose gateway the client asks."""

    def __init__(self, hosts: list[Host], model: Path, token: str, newcomer: Host) -> None:
        """``newcomer`` is no member; with ``token`` it can become one."""
        self.hosts = hosts
        self.token = token
        self.newcomer = newcomer
        self.model = model
        self.asked = hosts[-1]
        self._names = {host.name: host for host in hosts}
        self._sockets = {host.name: next(host.folder.rglob("mesh*.sock")) for host in hosts}
        self._stopped: list[psutil.Process] = []

    def status(self, host: Host | None = None) -> dict[str, Any]:
        """What a host says, that which is asked unless told, without the price of a command."""
        path = self._sockets[(host or self.asked).name]
        status: dict[str, Any] = ask(str(path), "status", {}, timeout=STATUS_SECONDS)
        return status

    def leading(self) -> Host:
        """The leader, for the host that is asked."""
        name = leader(self.status())
        assert name is not None, "nobody leads"
        return self._names[name]

    def following(self) -> Host:
        """Who leads next: of those that hold the model, and offer the same, the one of the highest id."""
        status = self.status()
        ids = {member["name"]: parse_id(member["id"]) for member in status["members"]}
        others = [host for host in self.hosts[:HOLDERS] if host.name != leader(status)]
        return max(others, key=lambda host: ids[host.name])

    def working(self) -> Host:
        """A host that holds layers and does not lead."""
        status = self.status(self.leading())
        return next(self._names[name] for name in holders(status) if name != leader(status))

    def stop(self, process: psutil.Process) -> None:
        """SIGSTOP; undone by `mend`."""
        self._stopped.append(process)
        process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let what was stopped go on, if it still is there."""
        while self._stopped:
            with suppress(psutil.NoSuchProcess):
                self._stopped.pop().send_signal(signal.SIGCONT)

    async def until_gone(self, process: psutil.Process | None, seconds: float) -> None:
        """Wait for the end of a process."""
        with trio.fail_after(seconds):
            while True:
                if process is None or not _runs(process):
                    return
                await trio.sleep(0.05)

    async def until_another_leads(self, before: Host, seconds: float) -> None:
        """Wait until, for the host that is asked, there is a leader and it is not that one."""
        with trio.fail_after(seconds):
            while True:
                if leader(self.status()) not in (None, before.name):
                    return
                await trio.sleep(0.1)

    async def mend(self) -> None:
        """Undo all: what is stopped goes on, cables are put back, disks have room, sidecars run again."""
        self.thaw()
        for host in self.hosts:
            host.heal()
            host.free_disk()
        for host in self.hosts:
            if await trio.to_thread.run_sync(host.sidecar) is None:
                await host.amesh("join")

    async def settle(self) -> dict[str, Any]:
        """Wait until all five say the same: five alive, one leader, ready; and one llama-server runs."""
        seen: Any = None
        with trio.move_on_after(SETTLE_SECONDS):
            while True:
                seen = await trio.to_thread.run_sync(self._look)
                if isinstance(seen, dict):
                    return seen
                await trio.sleep(0.1)
        raise AssertionError(f"the pool is not whole after {SETTLE_SECONDS:.0f} s: {seen}")

    def _look(self) -> dict[str, Any] | str:
        """The status that all hosts agree on, or what is amiss."""
        statuses = []
        for host in self.hosts:
            try:
                statuses.append(self.status(host))
            except ControlError as error:
                return f"{host.name}: {error}"
        leaders = [status.get("leader") for status in statuses]
        if any(len(alive(status)) < len(self.hosts) for status in statuses) or not all(leaders):
            return f"alive {[alive(status) for status in statuses]}, leaders {leaders}"
        servers = [host.name for host in self.hosts if host.engine("llama-server") is not None]
        if any(one != leaders[0] for one in leaders) or servers != [leader(statuses[0])]:
            return f"leaders {leaders}, llama-server on {servers}"
        if not all(is_ready(status) for status in statuses):
            return f"deployment {[status.get('deployment') for status in statuses]}"
        return statuses[-1]

    def crowded_gates(self) -> list[str]:
        """Workers whose gate let two in at once, or one of an older claim after one of a newer."""
        return [host.name for host in self.hosts if is_crowded(_log_of(host))]


def five(lab: Lab, folder: Path) -> Five:
    """Form the pool, give three hosts the model, and serve it."""
    hosts = lab.hosts(5)
    model = folder / "frankenstein.gguf"
    generate(model, spec_of_size(MODEL_BYTES, ModelSpec(layers=LAYERS)))
    for host in hosts:
        host.own_disk()
    token = found(hosts[0], "--memory", BIG)
    for host in hosts[1:-1]:
        join(host, token, "--memory", BIG)
    join(hosts[-1], token, "--no-work")  # what is asked goes on, whoever is left out of plans by then
    for host in hosts[:HOLDERS]:
        host.mesh("serve", model, *SERVE, "--wait", timeout=120)
    return Five(hosts, model, token, lab.host())


async def answer(
    pool: Five,
    path: str,
    how: str,
    then: Mapping[int, Callable[[], Awaitable[None]]] | None = None,
    tokens: int = TOKENS,
) -> Answer:
    """One greedy answer, streamed; `then` says what is done after how many tokens."""
    got, due = Answer(), dict(then or {})
    asked: dict[str, Any] = {"messages": QUESTION} if path == CHAT else {"prompt": PROMPT}
    if path == NATIVE:
        asked["return_tokens"] = True
    request = {**asked, "max_tokens": tokens, "temperature": 0, "cache_prompt": False, "stream": True}
    headers = {"X-Mesh-Resume": how}
    with trio.fail_after(ANSWER_SECONDS):
        async with (
            client(pool.asked) as http,
            http.stream("POST", path, json=request, headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            async for line in response.aiter_lines():
                if line == PAUSE and got.tokens not in got.pauses:
                    got.pauses.append(got.tokens)
                if line.startswith("data: {"):
                    _take(got, json.loads(line[6:]))
                if (do := due.pop(got.tokens, None)) is not None:
                    await do()
    assert not due, f"the answer ended after {got.tokens} tokens"
    return got


def _take(got: Answer, event: dict[str, Any]) -> None:
    assert "error" not in event, event
    if "choices" in event:
        pieces = [choice.get("delta", {}).get("content") or "" for choice in event["choices"]]
        text, ids = "".join(pieces), []
    else:
        text, ids = event["content"], event.get("tokens", [])
    got.text += text
    got.ids += ids
    if text:
        got.tokens += 1
        got.times.append(trio.current_time())


def is_crowded(log: str) -> bool:
    """Whether a log shows two streams that pass a gate at once, or one of an older claim than the last."""
    inside, newest = None, 0
    for line in log.splitlines():
        if "mesh sidecar" in line:
            inside = None
        elif entered := re.search(r"worker\.gate: the stream of (\w+ in term (\d+)) passes$", line):
            if inside is not None or int(entered[2]) < newest:
                return True
            inside, newest = entered[1], int(entered[2])
        elif "worker.gate: the stream of" in line and line.endswith(" ended"):
            inside = None
    return False


def _state_of(host: Host) -> Path:
    return next(host.folder.rglob("settings.json")).parent


def _log_of(host: Host) -> str:
    return Path(log_path(str(_state_of(host)))).read_text()


# --- faults ------------------------------------------------------------------------------------------


def kill_leaders_sidecar(pool: Five) -> Strike:
    """Kill -9 of the leader's sidecar; its llama-server goes with it."""
    return _process(pool.leading().sidecar()).kill


def kill_llama_server(pool: Five) -> Strike:
    return _process(pool.leading().engine("llama-server")).kill


def kill_rpc_server(pool: Five) -> Strike:
    return _process(pool.working().engine("rpc-server")).kill


def stop_leaders_sidecar(pool: Five) -> Strike:
    return partial(pool.stop, _process(pool.leading().sidecar()))


def stop_llama_server(pool: Five) -> Strike:
    return partial(pool.stop, _process(pool.leading().engine("llama-server")))


def stop_rpc_server(pool: Five) -> Strike:
    return partial(pool.stop, _process(pool.working().engine("rpc-server")))


def pull_leaders_cable(pool: Five) -> Strike:
    need_namespaces(pool)
    return pool.leading().cut


def pull_workers_cable(pool: Five) -> Strike:
    need_namespaces(pool)
    return pool.working().cut


def cut_in_two(pool: Five) -> Strike:
    """The leader and its worker on one side, the others on the other: the model fits on either."""
    need_namespaces(pool)
    stranded = pool.leading(), pool.working()

    def strike() -> None:
        for host in stranded:
            host.strand()

    return strike


def kill_leader_and_worker(pool: Five) -> Strike:
    sidecars = [_process(host.sidecar()) for host in (pool.leading(), pool.working())]

    def strike() -> None:
        for sidecar in sidecars:
            sidecar.kill()

    return strike


def fill_followers_disk_and_kill_leader(pool: Five) -> Strike:
    """Who is to lead next cannot note that it claims to, and so may not say it."""
    need_namespaces(pool)
    following, sidecar = pool.following(), _process(pool.leading().sidecar())

    def strike() -> None:
        following.fill_disk()
        sidecar.kill()

    return strike


def need_namespaces(pool: Five) -> None:
    """Skip now rather than in the middle of an answer, where there are neither cables nor disks."""
    if pool.asked.namespace is None:
        pytest.skip("cables and disks need namespaces (root on Linux)")


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _process(process: psutil.Process | None) -> psutil.Process:
    assert process is not None
    return process

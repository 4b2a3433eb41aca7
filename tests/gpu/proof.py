"""``python -m tests.gpu.proof``: a pool on a machine with a GPU, from the build to the death of its leader.

Two nodes share the machine, in a lab. Each lends two devices, the GPU and the processor, of which the model
takes a part each. The answer must be that of a bare llama-server with the same split; then the leader is
killed, and the other node must serve on. ``bash tests/gpu/run`` makes the environment first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from mesh.engine.backends.backend_table import kind_named
from mesh.engine.engine_errors import EngineError
from mesh.engine.types import Engine
from mesh.wire.errors import MeshError
from tests.benchmarks.report import Report, at_least, at_most, deliver
from tests.e2e.pools import LAYERS, client, found, greedy, is_ready, join, leader, make_model, status_when
from tests.e2e.same_split import bare_answer
from tests.lab.host import Host
from tests.lab.lab import Lab
from worker.memory_option import parse_size

HELP: Final = "A pool on a machine with a GPU, from the build to the death of its leader."
NODES: Final = ("desk", "shed")
PROMPT: Final = "Once upon a time"
TOKENS: Final = 64
SERVE: Final = ("--ctx", "512", "--slots", "1", "--copies", "1", "--wait")
LOAD_SECONDS: Final = 300.0
SERVE_TRIES: Final = 10
PAUSE_SECONDS: Final = 60.0
"""The longest pause after the leader's death that is no fault: a load is in it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """``backend`` is the kind's name, ``model_bytes`` the model's size; each device may hold all of it."""

    backend: str
    model_bytes: int

    @property
    def devices(self) -> tuple[str, str]:
        """The devices of a node by their names; without a GPU, parts of the processor."""
        first = kind_named(self.backend).first_device
        return (first, "CPU") if first else ("cpu:0", "cpu:1")

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """What the build and the nodes are told; an engine that is there need not be the one to detect."""
        return {} if inherited.get("MESH_LLAMA_DIR") else {"MESH_BACKEND": self.backend}

    def build(self) -> list[str]:
        """The command that gets the engine."""
        return [sys.executable, "-m", "mesh.engine", "--json"]

    def join(self) -> tuple[str, ...]:
        """The options of `mesh join` on each node."""
        each = self.model_bytes + self.model_bytes // 2 + (256 << 20)
        return "--memory", ",".join(f"{device.lower()}={each}" for device in self.devices)

    def split(self) -> dict[str, int]:
        """The layers of each device as ``--layers`` names it: most on the GPUs, and some on every one.

        The processor of the node that leads is one device, however it is divided.
        """
        each, few = LAYERS // len(NODES), LAYERS // 8
        counts = {f"{node}/{name}": few for node in NODES for name in self.devices}
        counts |= {f"{node}/{self.devices[0]}": each - few for node in NODES}
        if not kind_named(self.backend).first_device:
            counts = {NODES[0]: each} | {
                name: n for name, n in counts.items() if not name.startswith(NODES[0])
            }
        return counts


@dataclass
class Results:
    """What happened, for people and programs; seconds by step."""

    seconds: dict[str, float] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step, and say that it began."""
        print(f"{name} ...", file=sys.stderr)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - began, 2)


def get_engine(setting: Setting) -> Engine:
    """The engine, built if need be. Raises EngineError where it is for another backend."""
    environment = {**os.environ, **setting.environment(os.environ)}
    done = subprocess.run(setting.build(), stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise EngineError("there is no engine", "the lines above say why")
    said = json.loads(done.stdout)
    engine = Engine(**{**said, **{name: Path(said[name]) for name in ("llama_server", "rpc_server")}})
    if engine.backend != setting.backend:
        raise EngineError(
            f"the engine computes with {engine.backend}, not {setting.backend}: {engine.llama_server}",
            "unset MESH_LLAMA_DIR, or name another --backend",
        )
    return engine


def list_devices(engine: Engine) -> list[str]:
    """What the engine says of its devices, a line each."""
    done = subprocess.run(
        [engine.rpc_server, "-d", "?"], capture_output=True, text=True, timeout=60, check=False
    )
    return [line.strip() for line in done.stdout.splitlines() if " MiB" in line]


async def prove(setting: Setting, hosts: list[Host], engine: Engine, folder: Path, results: Results) -> None:
    """Join, serve and compare, kill the leader and ask again."""
    for host in hosts:
        host.environment |= setting.environment(os.environ)
    with results.step("join"):
        token = found(hosts[0], *setting.join())
        for host in hosts[1:]:
            join(host, token, *setting.join())
        await status_when(hosts[0], lambda status: _devices(status) == len(NODES) * len(setting.devices))
    with results.step("model"):
        model = make_model(folder, size=setting.model_bytes)
    with results.step("serve over all devices"):
        status = await _serve_split(setting, hosts[0], model)
    results.said["plan"] = _plan(status)
    with results.step("answers"):
        answers = [await _answer(host, results) for host in hosts]
        bare = await bare_answer(engine, model, folder, status, PROMPT, TOKENS)
    results.said["equal"] = all(answer == bare for answer in answers)
    with results.step("serve where it is fastest"):
        for host in hosts:  # each of them has the file, and may go on with it
            host.mesh("serve", model, *SERVE, timeout=LOAD_SECONDS)
        status = await status_when(hosts[0], is_ready)
    results.said["plan_by_itself"] = _plan(status)
    leading = next(host for host in hosts if host.name == leader(status))
    other = next(host for host in hosts if host is not leading)
    with results.step("pause after the leader's death"):
        leading.kill_sidecar()
        status = await status_when(
            other, lambda s: leader(s) == other.name and is_ready(s), seconds=LOAD_SECONDS
        )
    results.said["plan_afterwards"] = _plan(status)
    results.said["answered_afterwards"] = len(await _answer(other, results))


async def _serve_split(setting: Setting, host: Host, model: Path) -> dict[str, Any]:
    """The status that tells of the whole split.

    A worker that began to run a moment ago grants no lease yet, and the leader does without where it can.
    """
    split = setting.split()
    layers = ",".join(f"{name}={count}" for name, count in split.items())
    for _ in range(SERVE_TRIES):
        host.mesh("serve", model, *SERVE, "--layers", layers, timeout=LOAD_SECONDS)
        status = await status_when(host, is_ready)
        if len(status["plan"]["stages"]) == len(split):
            break
    return status


async def _answer(host: Host, results: Results) -> list[int]:
    async with client(host) as http:
        response = await http.post("/completion", json=greedy(PROMPT, TOKENS), timeout=LOAD_SECONDS)
        answer = response.raise_for_status().json()
    speed = answer["timings"]["predicted_per_second"]
    results.said.setdefault("tokens_per_second", []).append(round(speed, 1))
    ids: list[int] = answer["tokens"]
    return ids


def _devices(status: Mapping[str, Any]) -> int:
    """How many are known, of members whose engine is; the others would be left out of a plan."""
    return sum(len(member["devices"]) for member in status["members"] if member["llama_cpp"])


def _plan(status: Mapping[str, Any]) -> list[str]:
    names = {member["id"]: member["name"] for member in status["members"]}
    return [
        f"{names[stage['member']]}/{stage['device']}: layers {stage['layers'][0]} to {stage['layers'][1]}"
        for stage in status["plan"]["stages"]
    ]


def report(setting: Setting, engine: Engine, results: Results) -> Report:
    """The object that is printed."""
    used = {line.partition(": layers")[0] for line in results.said.get("plan", [])}
    goals = [
        at_least("devices that hold layers", len(setting.split()), len(used), "devices"),
        at_least("the bare engine's answer", 1, float(results.said.get("equal", False)), "of 1"),
        at_most(
            "pause after the leader's death",
            PAUSE_SECONDS,
            results.seconds.get("pause after the leader's death"),
            "s",
        ),
        at_least("tokens afterwards", TOKENS, results.said.get("answered_afterwards"), "tokens"),
    ]
    parameters = {"backend": setting.backend, "model_bytes": setting.model_bytes, "nodes": len(NODES)}
    said = {"engine": str(engine.llama_server.parent), "commit": engine.commit, **results.said}
    return Report("gpu", parameters, {**said, "seconds": results.seconds}, goals)


def run(setting: Setting, folder: Path) -> Report:
    """All of it, in a lab of its own. Raises MeshError, and AssertionError where the pool did not do it."""
    results = Results()
    with results.step("build"):
        engine = get_engine(setting)
    results.said["devices"] = list_devices(engine)
    with Lab() as lab, tempfile.TemporaryDirectory(dir=folder) as work:
        hosts = [lab.host(name) for name in NODES]
        try:
            trio.run(prove, setting, hosts, engine, Path(work), results)
        except AssertionError as error:
            results.said["failed"] = str(error)[-4000:]
    return report(setting, engine, results)


def main(arguments: list[str] | None = None) -> int:
    """0 when all goals were met, 1 when one was missed or there was no engine, 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.proof", description=HELP)
    parser.add_argument("--backend", default="cuda", help="the kind of GPU (%(default)s)")
    parser.add_argument("--size", type=parse_size, default="2G", help="the model's size (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for the model")
    parser.add_argument("--json", action="store_true", help="print one object")
    options = parser.parse_args(arguments)
    status = 1
    try:
        made = run(Setting(options.backend, options.size), options.folder)
        status = deliver(made, as_json=options.json, check=True)
    except* MeshError as errors:
        print(*errors.exceptions, file=sys.stderr)
    except* KeyboardInterrupt:
        status = 130
    return status


if __name__ == "__main__":
    sys.exit(main())

"""What the proof would run on a machine with CUDA, and what it makes of what it sees."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mesh.engine.engine_errors import EngineError
from mesh.engine.types import Engine
from tests.e2e.pools import LAYERS
from tests.gpu import proof
from tests.gpu.proof import Results, Setting, get_engine, list_devices, prove, report

CUDA = Setting("cuda", 2 << 30)
ENGINE = Engine(Path("/e/llama-server"), Path("/e/ggml-rpc-server"), "0c1e57098", "7.0.0", "cuda", "built")
LENT = "cuda0=3489660928,cpu=3489660928"


@dataclass
class Machine:
    """A host whose commands are noted; ``leads`` names the one that leads."""

    name: str
    leads: list[str]
    commands: list[list[str]]
    environment: dict[str, str] = field(default_factory=dict)

    def mesh(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append([self.name, *map(str, arguments)])
        return subprocess.CompletedProcess([], 0, "mesh join mesh1:token\n", "")

    async def amesh_json(self, *arguments: str, **options: Any) -> dict[str, Any]:
        stages = [
            {"member": name, "device": device, "layers": [first, first + 5], "head": False}
            for name, device, first in (
                ("1", "CUDA0", 0),
                ("1", "CPU", 6),
                ("2", "CUDA0", 12),
                ("2", "CPU", 18),
            )
        ]
        seen: dict[str, Any] = {"llama_cpp": {"rpc": "7.0.0"}, "devices": [{}, {}]}
        members = [{"id": "1", "name": "desk"} | seen, {"id": "2", "name": "shed"} | seen]
        leading = {"id": "1", "name": self.leads[-1], "term": 1}
        return {
            "members": members,
            "leader": leading,
            "deployment": {"state": "ready"},
            "plan": {"stages": stages},
        }

    def kill_sidecar(self) -> None:
        self.commands.append([self.name, "kill -9"])
        self.leads.append("shed")


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Two of them, whose answers are those of the bare engine."""

    async def answer(host: Machine, results: Results) -> list[int]:
        return list(range(proof.TOKENS))

    async def bare(*_: object) -> list[int]:
        return list(range(proof.TOKENS))

    monkeypatch.setattr(proof, "_answer", answer)
    monkeypatch.setattr(proof, "bare_answer", bare)
    monkeypatch.setattr(proof, "make_model", lambda folder, size: folder / "model.gguf")
    leads: list[str] = ["desk"]
    commands: list[list[str]] = []
    return [Machine(name, leads, commands) for name in proof.NODES]


async def test_two_nodes_lend_gpu_and_processor_serve_and_lose_their_leader(
    machines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MESH_LLAMA_DIR", raising=False)
    results = Results()
    await prove(CUDA, machines, ENGINE, Path("/tmp"), results)
    serve = ["serve", "/tmp/model.gguf", "--ctx", "512", "--slots", "1", "--copies", "1", "--wait"]
    own = ["--memory", LENT]
    joins = [[command[0], command[1], *command[-2:]] for command in machines[0].commands[:2]]
    assert joins == [["desk", "join", *own], ["shed", "join", *own]]
    assert machines[0].commands[2:] == [
        ["desk", *serve, "--layers", "desk/CUDA0=9,desk/CPU=3,shed/CUDA0=9,shed/CPU=3"],
        ["desk", *serve],
        ["shed", *serve],
        ["desk", "kill -9"],
    ]
    assert [machine.environment for machine in machines] == [{"MESH_BACKEND": "cuda"}] * 2
    made = report(CUDA, ENGINE, results)
    assert all(goal.met for goal in made.goals), made.goals
    assert json.loads(json.dumps(made.as_object()))["results"]["plan"][0] == "desk/CUDA0: layers 0 to 5"


async def test_an_answer_that_differs_from_the_bare_engines_is_a_goal_missed(
    machines: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bare(*_: object) -> list[int]:
        return [1]

    monkeypatch.setattr(proof, "bare_answer", bare)
    results = Results()
    await prove(CUDA, machines, ENGINE, Path("/tmp"), results)
    assert [goal.what for goal in report(CUDA, ENGINE, results).goals if not goal.met] == [
        "the bare engine's answer"
    ]


def test_a_pool_that_never_was_misses_every_goal() -> None:
    assert not any(goal.met for goal in report(CUDA, ENGINE, Results()).goals)


def test_the_split_uses_every_layer_once_and_every_device() -> None:
    for backend in ("cuda", "vulkan"):
        split = Setting(backend, 1).split()
        assert len(split) == 4
        assert sum(split.values()) == LAYERS
    assert Setting("cpu", 1).split() == {"desk": 12, "shed/cpu:0": 9, "shed/cpu:1": 3}


def lay_engine(folder: Path, monkeypatch: pytest.MonkeyPatch, backend: str, status: int = 0) -> None:
    """A command in the build's place that tells of an engine."""
    said = {"llama_server": "/e/l", "rpc_server": "/e/r", "commit": "c", "rpc": "7", "origin": "built"}
    script = folder / "engine.py"
    script.write_text(f"print({json.dumps(said | {'backend': backend})!r}); raise SystemExit({status})")
    monkeypatch.setattr(Setting, "build", lambda self: [sys.executable, str(script)])


def test_the_engine_is_what_the_build_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CUDA.build()[1:] == ["-m", "mesh.engine", "--json"]
    lay_engine(tmp_path, monkeypatch, "cuda")
    assert get_engine(CUDA).rpc_server == Path("/e/r")
    lay_engine(tmp_path, monkeypatch, "cpu")
    with pytest.raises(EngineError, match="computes with cpu, not cuda"):
        get_engine(CUDA)
    lay_engine(tmp_path, monkeypatch, "cuda", status=1)
    with pytest.raises(EngineError, match="there is no engine"):
        get_engine(CUDA)


def test_an_engine_that_is_there_is_not_told_what_to_be() -> None:
    assert CUDA.environment({"MESH_LLAMA_DIR": "/e"}) == {}
    assert CUDA.environment({}) == {"MESH_BACKEND": "cuda"}


def test_devices_are_listed_as_the_engine_says_them(tmp_path: Path) -> None:
    program = tmp_path / "rpc"
    program.write_text(
        "#!/bin/sh\necho available:\necho '  CUDA0: H200 (143771 MiB, 143000 MiB free)'\nexit 1\n"
    )
    program.chmod(0o755)
    engine = Engine(program, program, "c", "7", "cuda", "built")
    assert list_devices(engine) == ["CUDA0: H200 (143771 MiB, 143000 MiB free)"]

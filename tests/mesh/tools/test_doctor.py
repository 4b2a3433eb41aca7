"""`mesh doctor` looks at everything, breaks over nothing, and says what helps."""

import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest
import trio

from mesh.control import paths
from mesh.control.sidecar_options import DEFAULT_PORT
from mesh.engine.devices import EngineDevice, processor_alone
from mesh.engine.sandbox import launcher
from mesh.engine.sandbox.isolation import Isolation
from mesh.engine.types import Backend, Engine
from mesh.net.discovery.tailscale import TailscaleError
from mesh.runtime.program_build import build
from mesh.runtime.state import StateDir
from mesh.tools import doctor
from mesh.tools.doctor import Check, check, of_isolation
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from tests.mesh.cli import examples
from tests.mesh.machines import Daemon, Tailnet
from worker.hardware import MachineMemory

ENGINE = Engine(Path("/e/llama-server"), Path("/e/rpc-server"), "abc", "7.0.0", "cpu", "built")
CARD = EngineDevice("CUDA0", "cuda", "NVIDIA L4", 24 << 30, 22 << 30)
Usage = namedtuple("Usage", "total used free")


class Surroundings:
    """What the machine has, as far as the doctor looks."""

    def __init__(self) -> None:
        self.engine: Engine | MeshError | None = ENGINE
        self.devices: tuple[EngineDevice, ...] | None = (CARD, *processor_alone("EPYC"))
        self.addresses = ["192.0.2.1"]
        self.free = 100 << 30
        self.lacks: list[str] = []
        self.isolation = Isolation(True)

    async def find_present(self, backend: Backend, cache: Path) -> Engine | None:
        await trio.lowlevel.checkpoint()
        if isinstance(self.engine, MeshError):
            raise self.engine
        return self.engine


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    here = Surroundings()
    monkeypatch.setattr(doctor, "detect", lambda: Backend("cpu", "a processor", "no accelerator"))
    monkeypatch.setattr(doctor, "find_present", here.find_present)
    monkeypatch.setattr(doctor, "devices_here", lambda: here.devices)
    monkeypatch.setattr(doctor, "measure", lambda: MachineMemory(64 << 30, 50 << 30))
    monkeypatch.setattr(doctor, "local_addresses", lambda bind: here.addresses)
    monkeypatch.setattr(doctor, "find_socket", lambda option: None)
    monkeypatch.setattr(doctor, "isolation", lambda: here.isolation)
    monkeypatch.setattr(launcher, "missing", lambda: here.lacks)
    monkeypatch.setattr(launcher, "is_open", lambda: len(here.lacks) > 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(200 << 30, 0, here.free))
    return here


def findings(state: Path) -> dict[str, Check]:
    return {finding["check"]: finding for finding in check(state)}


def settings(state: Path, **values: object) -> None:
    StateDir(state).save("settings", values)


def test_a_fresh_machine_is_well_and_nothing_is_created_on_it(around: Surroundings, tmp_path: Path) -> None:
    state = tmp_path / "none" / "yet"
    found = findings(state)
    assert set(found) == {
        "accelerator", "engine", "devices", "sandbox", "isolation", "disk", "state", "identity", "network",
        "port", "tailnet", "sidecar", "program",
    }  # fmt: skip
    assert [name for name, finding in found.items() if not finding["ok"] and name != "port"] == []
    assert found["port"]["detail"].startswith(str(DEFAULT_PORT))
    assert "100 GiB free" in found["disk"]["detail"]
    assert not (tmp_path / "none").exists()


def test_findings_are_plain_json(around: Surroundings, tmp_path: Path) -> None:
    for finding in json.loads(json.dumps(check(tmp_path))):
        assert {name: type(value) for name, value in finding.items()} == {
            "check": str, "ok": bool, "detail": str, "hint": str,
        }  # fmt: skip


def test_an_engine_that_does_not_work_is_a_finding_with_its_hint(
    around: Surroundings, tmp_path: Path
) -> None:
    around.engine = MeshError("the engine in /e is not usable", "unset MESH_LLAMA_DIR")
    engine = findings(tmp_path)["engine"]
    assert (engine["ok"], engine["detail"]) == (False, "the engine in /e is not usable")
    assert engine["hint"] == "unset MESH_LLAMA_DIR"
    around.engine = None
    assert "mesh join builds it" in findings(tmp_path)["engine"]["detail"]
    around.engine = ENGINE
    assert "llama.cpp abc, RPC 7.0.0" in findings(tmp_path)["engine"]["detail"]


def test_the_engines_devices_are_told_with_what_each_lends(around: Surroundings, tmp_path: Path) -> None:
    detail = findings(tmp_path)["devices"]["detail"]
    assert "CUDA0 NVIDIA L4 lends 20.2 GiB; CPU EPYC lends 39.0 GiB; 1.0 GiB of RAM stays" in detail
    settings(tmp_path, memory="cpu=0")
    assert "CPU" not in findings(tmp_path)["devices"]["detail"]
    settings(tmp_path, memory=8 << 30)
    refused = findings(tmp_path)["devices"]
    assert (refused["ok"], refused["detail"][:32]) == (False, "this machine has several devices")
    assert "--memory cuda0=20G" in refused["hint"]
    around.devices = None
    assert findings(tmp_path)["devices"]["ok"]


def test_beside_a_sidecar_no_device_seems_to_lend_only_what_is_free(
    around: Surroundings, tmp_path: Path
) -> None:
    Path(paths.process_path(str(tmp_path))).write_text("1\n")
    assert findings(tmp_path)["devices"]["detail"] == "CUDA0 NVIDIA L4; CPU EPYC"


def test_beside_a_sidecar_what_it_lends_and_its_port_are_told(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [examples.device(f"cpu:{number}", "cpu", 8 << 30, 2 << 30) for number in range(2)]
    here = examples.member(examples.ALPHA, "alpha", devices=parts)
    status = examples.status(members=[here, examples.member(examples.BETA, "beta")])
    status["self"]["address"] = "10.0.0.1:40123"
    answers = {"info": {"pid": 1, "joined": True}, "status": status}
    monkeypatch.setattr(doctor, "send", lambda path, request: answers[request.name])
    Path(paths.process_path(str(tmp_path))).write_text("1\n")
    found = findings(tmp_path)
    assert found["devices"]["detail"] == "cpu:0 lends 2.0 GiB; cpu:1 lends 2.0 GiB"
    assert found["port"]["detail"] == "40123, used by this sidecar"


def test_a_full_disk_and_a_machine_without_network_are_found(around: Surroundings, tmp_path: Path) -> None:
    around.free, around.addresses = 1 << 30, []
    found = findings(tmp_path)
    assert not found["disk"]["ok"]
    assert not found["network"]["ok"]
    assert "--bind" in found["network"]["hint"]


def test_each_layer_that_the_sandbox_lacks_is_named(around: Surroundings, tmp_path: Path) -> None:
    assert findings(tmp_path)["sandbox"]["ok"]
    around.lacks = ["Landlock: it could write files", "seccomp: it could open connections"]
    found = findings(tmp_path)["sandbox"]
    assert not found["ok"]
    around.lacks.pop()
    assert findings(tmp_path)["sandbox"]["ok"], "a kernel that is a little older is no fault"
    around.lacks.append("seccomp: it could open connections")
    assert all(lack in found["detail"] for lack in around.lacks)
    assert "whom you trust" in found["hint"]


def test_an_engines_own_network_and_its_own_user_are_told(around: Surroundings, tmp_path: Path) -> None:
    found = findings(tmp_path)["isolation"]
    assert "a network of its own" in found["detail"]
    assert "user of its own" not in found["detail"]
    around.isolation = Isolation(True, changes_user=True)
    assert "a user of its own" in findings(tmp_path)["isolation"]["detail"]


def test_root_is_told_where_its_engines_have_no_user_of_their_own() -> None:
    for given, root, told in (
        (Isolation(True), True, "but root's user"),
        (Isolation(True, changes_user=True), True, "and a user of its own"),
        (Isolation(True), False, "which nobody else reaches; "),
    ):
        assert told in of_isolation(given, "linux", "", root=root)["detail"]


def test_what_bounds_an_engines_memory_is_told() -> None:
    for by_group, means in ((True, "a control group"), (False, "limits of the process")):
        told = of_isolation(Isolation(True), "linux", "", by_group=by_group)["detail"]
        assert told.endswith(f"; {means} and the sidecar's watch bound its memory")


def test_a_machine_without_cells_is_told_why_what_remains_and_what_helps(
    around: Surroundings, tmp_path: Path
) -> None:
    around.isolation = Isolation(
        False, why_no_cells="/bin/python: the sandbox failed: unshare: Operation not permitted"
    )
    found = findings(tmp_path)["isolation"]
    assert (found["ok"], found["note"]) == (True, True)
    assert "(unshare: Operation not permitted)" in found["detail"]
    assert "other local users can try their ports" in found["detail"]
    assert found["hint"]


def test_on_macos_what_sandbox_exec_gives_is_told_and_that_nobody_tried_it(
    around: Surroundings, tmp_path: Path
) -> None:
    around.isolation = Isolation(False, seatbelt=True)
    assert "no Mac has run the profile" in findings(tmp_path)["sandbox"]["detail"]
    found = of_isolation(around.isolation, "darwin", "")
    assert "other local users can try rpc-server's port" in found["detail"]
    assert "MESH_SEATBELT=off" in found["hint"]
    without = of_isolation(Isolation(False, why_no_cells="not found"), "darwin", "")
    assert "confines nothing (not found)" in without["detail"]
    assert "only where you trust" in without["hint"]


def test_a_key_that_others_can_read_is_found(around: Surroundings, tmp_path: Path) -> None:
    identity = StateDir(tmp_path).identity()
    assert id_text(identity.id) in findings(tmp_path)["identity"]["detail"]
    (tmp_path / "identity.key").chmod(0o644)
    found = findings(tmp_path)["identity"]
    assert not found["ok"]
    assert "chmod 600" in found["hint"]


def test_a_state_directory_that_others_can_look_into_is_found(around: Surroundings, tmp_path: Path) -> None:
    settings(tmp_path, port=1)
    assert findings(tmp_path)["state"]["ok"]
    tmp_path.chmod(0o755)
    found = findings(tmp_path)
    assert not found["state"]["ok"]
    assert "chmod 700" in found["state"]["hint"]


def test_a_port_that_another_program_has_is_found(around: Surroundings, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        settings(tmp_path, port=port)
        found = findings(tmp_path)["port"]
        assert (found["ok"], found["detail"]) == (False, f"{port} is taken")
        (tmp_path / "sidecar.pid").write_text("4711")
        assert findings(tmp_path)["port"]["detail"] == f"{port}, used by this sidecar"


def test_a_tailnet_is_shown_with_its_owner_or_with_what_keeps_it_down(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tailnet = Tailnet({"127.0.0.1": "alice", "127.0.0.2": "alice"})
    monkeypatch.setattr(doctor, "find_socket", lambda option: tmp_path / "tailscaled.sock")
    monkeypatch.setattr(doctor, "Tailscale", lambda where: Daemon(tailnet, "127.0.0.1"))
    assert findings(tmp_path)["tailnet"]["detail"] == "me of alice, 1 peers"
    tailnet.down = "the tailnet is stopped"
    found = findings(tmp_path)["tailnet"]
    assert (found["ok"], found["detail"]) == (False, "the tailnet is stopped")
    assert TailscaleError.__name__ not in found["detail"]


def test_the_program_is_named_with_what_it_speaks(around: Surroundings, tmp_path: Path) -> None:
    assert findings(tmp_path)["program"]["detail"].startswith(f"{build()}, speaks wire version ")


def test_each_problem_of_versions_is_a_finding_and_only_being_apart_is_a_fault(
    around: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems = [
        {"code": "wire_version", "member": "c", "message": "shed speaks 4", "hint": "upgrade this machine"},
        {"code": "older_member", "member": "b", "message": "attic speaks 2", "hint": "upgrade attic"},
    ]
    answers = {
        "info": {"pid": 1, "joined": True},
        "status": examples.status(problems=problems, running={"version": "0.0.1", "build": ""}),
    }
    monkeypatch.setattr(doctor, "send", lambda path, request: answers[request.name])
    apart, older, installed = [one for one in check(tmp_path) if one["check"] == "version"]
    assert (apart["ok"], apart["detail"], apart["hint"]) == (False, "shed speaks 4", "upgrade this machine")
    assert (older["ok"], older["note"]) == (True, True)
    assert (installed["ok"], installed["hint"]) == (True, "run it: mesh restart")

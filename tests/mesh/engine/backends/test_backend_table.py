"""One object and one line in the table make a backend: the toy is named nowhere else."""

from dataclasses import replace
from pathlib import Path

import pytest

from leader.placement.cost import assumed_layer_seconds
from leader.reconcile.member_views import member_view
from mesh.engine.backends import backend_table
from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.detect import MachineProbes, detect
from mesh.engine.devices import MachineRam, devices_in
from mesh.engine.engine_errors import EngineError
from mesh.engine.install.build import Builder
from mesh.engine.install.build_progress import Course
from mesh.engine.install.locate import backend_in
from mesh.engine.types import Backend
from tests.leader.members import ANNA, BERT, PROFILE, TOY, member
from tests.mesh.engine.fake_probes import FakeProbes
from worker.hardware import MachineMemory
from worker.offers import offers

GIB = 1 << 30


def _detect(probes: Probes) -> Backend | str:
    if not probes.exists("/dev/abacus"):
        return "no /dev/abacus"
    return Backend("abacus", "Soroban", "/dev/abacus", ("-DGGML_ABACUS=ON",))


ABACUS = BackendKind(
    name="abacus", detect=_detect, devices=("Beads",), bandwidth=1e9, disk_needed=7 * 10**18
)  # fmt: skip


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeProbes:
    """A machine with the toy's device, in a program that knows of the toy."""
    monkeypatch.setattr(backend_table, "BACKENDS", (ABACUS, *backend_table.BACKENDS))
    return FakeProbes(paths={"/dev/abacus"})


def test_it_is_detected_with_the_flags_to_build_for_it(machine: FakeProbes) -> None:
    backend = detect(machine)
    assert (backend.kind, backend.reason) == ("abacus", "/dev/abacus")
    assert "-DGGML_ABACUS=ON" in Builder(backend, Path("/"), Course(lambda progress: None, 1))._flags
    assert detect(FakeProbes()).reason.startswith("no /dev/abacus; no nvidia-smi")


def test_it_can_be_asked_for_where_it_is_looked_for(machine: FakeProbes) -> None:
    machine.environ = {"MESH_BACKEND": "abacus"}
    assert detect(machine).kind == "abacus"
    machine.os = "Darwin"
    with pytest.raises(EngineError, match="none of metal, cpu on this system"):
        detect(machine)


async def test_its_build_takes_the_disk_that_it_declares(machine: FakeProbes, tmp_path: Path) -> None:
    builder = Builder(detect(machine), tmp_path, Course(lambda progress: None, 1))
    with pytest.raises(EngineError, match=r"needs 7000000000\.0 GB of disk"):
        await builder.build()


def test_its_installed_engine_is_recognized(machine: FakeProbes) -> None:
    assert backend_in("Available devices:\n  RPC0: x\n  Beads0: Soroban (8192 MiB)") == "abacus"


def test_its_devices_are_lent(machine: FakeProbes) -> None:
    listed = ["  Beads0: Soroban (8192 MiB, 6144 MiB free)"]
    found, _ = devices_in(listed, MachineRam(16 * GIB, 16 * GIB))
    (lent,) = offers(found, MachineMemory(16 * GIB, 16 * GIB), None).lent
    assert (lent.name, lent.kind, lent.total) == ("Beads0", "abacus", 8 * GIB)
    assert 5 * GIB < lent.offered < 6 * GIB


def test_a_member_that_has_it_is_placed(machine: FakeProbes) -> None:
    (device,) = member_view(member(replace(PROFILE, accelerator_kind="abacus")), ANNA, TOY).devices
    assert device.accelerator == "Beads0"
    assert device.layer_seconds == max(TOY.layer_bytes) / 1e9


def test_a_kind_that_only_another_version_knows_is_placed_like_a_processor() -> None:
    (device,) = member_view(member(replace(PROFILE, accelerator_kind="abacus")), ANNA, TOY).devices
    assert (device.accelerator, device.host) == ("", True)
    assert device.layer_seconds == assumed_layer_seconds(TOY, "cpu")
    assert member_view(member(replace(PROFILE, accelerator_kind="abacus")), BERT, TOY).devices


def test_names_fit_a_record_and_are_those_of_what_is_detected() -> None:
    names = [kind.name for kind in backend_table.BACKENDS]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 16 for name in names)
    assert detect(MachineProbes()).kind in names

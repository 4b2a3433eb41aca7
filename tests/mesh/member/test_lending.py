"""What this machine lends is decided when the engine has told its devices, and then kept."""

import logging
from pathlib import Path

import pytest

from mesh.engine.devices import EngineDevice, processor_alone
from mesh.engine.types import Backend
from mesh.member import lending as module
from mesh.member.lending import Lending
from mesh.runtime.change_signal import ChangeSignal
from mesh.runtime.engine_keeper import EngineKeeper
from worker.hardware import MachineMemory

GIB = 1 << 30
CARD = EngineDevice("CUDA0", "cuda", "NVIDIA L4", 24 * GIB, 22 * GIB)
DEVICES = (CARD, *processor_alone("EPYC"))


@pytest.fixture
def keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineKeeper:
    monkeypatch.setattr(module, "measure", lambda: MachineMemory(16 * GIB, 8 * GIB))
    return EngineKeeper(tmp_path, ChangeSignal())


async def begun(keeper: EngineKeeper, option: int | str | None = None, works: bool = True) -> Lending:
    lending = Lending(keeper, option, works)
    await lending.measure()
    return lending


async def test_it_is_decided_once_and_kept(keeper: EngineKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    lending = await begun(keeper)
    assert not lending.is_decided
    assert [one.name for one in lending.offers.lent] == ["CPU"]
    keeper.devices = DEVICES
    lending.look()
    decided = lending.offers
    assert [one.name for one in decided.lent] == ["CUDA0", "CPU"]
    monkeypatch.setattr(module, "measure", lambda: MachineMemory(16 * GIB, GIB))
    await lending.measure()
    assert lending.memory.available == GIB
    assert lending.offers is decided


async def test_before_a_gpus_engine_is_built_nobody_knows_what_is_lent(keeper: EngineKeeper) -> None:
    keeper.backend = Backend("cuda", "NVIDIA L4", "found one")
    assert (await begun(keeper)).offers.lent == ()


@pytest.mark.parametrize("option", [8 * GIB, 500 * GIB, "cuda1=1G", "nonsense"])
async def test_what_cannot_be_lent_is_said_and_nothing_is_lent(
    keeper: EngineKeeper, option: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    lending = await begun(keeper, option)
    assert not lending.is_decided, "the engine may have more devices than are known by now"
    keeper.devices = DEVICES
    with caplog.at_level(logging.INFO):
        lending.look()
    assert lending.offers.lent == ()
    assert lending.problem
    assert lending.problem["code"] == "memory_refused"
    assert lending.problem["hint"]
    assert "nothing is lent" in caplog.text


async def test_what_is_lent_and_what_is_kept_are_in_the_log(
    keeper: EngineKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.devices = DEVICES
    with caplog.at_level(logging.INFO):
        await begun(keeper)
    assert "CUDA0 (NVIDIA L4) lends 20.2 GiB" in caplog.text
    assert "1.0 GiB of RAM stays for CUDA0" in caplog.text


async def test_one_that_does_not_work_complains_of_no_memory(
    keeper: EngineKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.devices = DEVICES
    with caplog.at_level(logging.INFO):
        lending = await begun(keeper, 500 * GIB, works=False)
    assert lending.problem is None
    assert caplog.text == ""

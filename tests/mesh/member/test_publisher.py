"""What this machine says of itself: at the start, and whenever it has changed by enough."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from leader.model.held_models import Models
from mesh.engine.devices import EngineDevice
from mesh.engine.types import Engine
from mesh.member import lending
from mesh.member import publisher as module
from mesh.member.lending import Lending
from mesh.member.publisher import Publisher
from mesh.protocol.base.effects import Effect
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.identity import id_text
from mesh.wire.profile import Profile
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from worker.hardware import MachineMemory

GIB = 1 << 30
CARD = EngineDevice("CUDA0", "cuda", "NVIDIA L4", 24 * GIB, 22 * GIB)


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "measure", lambda: MachineMemory(16 * GIB, 8 * GIB))


async def publisher(
    ground: Ground, engine: Engine | None = None, **options: object
) -> tuple[Here, Publisher]:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.driver is not None
    context = anna.machine(engine, **options)
    anna.work = WorkerLoop(context, lambda: None)
    lends = Lending(context.keeper, context.options.memory, context.options.work)
    await lends.measure()
    models = Models(anna.state.path / "models.json")
    return anna, Publisher(context, anna.driver, anna.work, models, lends)


def published(here: Here, monkeypatch: pytest.MonkeyPatch) -> list[Profile]:
    """What its node is asked to publish from now on."""
    profiles: list[Profile] = []

    def publish(now: float, profile: Profile) -> list[Effect]:
        profiles.append(profile)
        return []

    monkeypatch.setattr(here.node, "publish", publish)
    return profiles


async def test_before_there_is_an_engine_it_offers_what_the_processor_would(
    clock: MockClock, ground: Ground
) -> None:
    _, one = await publisher(ground, memory=3 * GIB)
    first = one.first()
    assert (first.memory_total, first.memory_offered, first.memory_free) == (16 * GIB, 3 * GIB, 8 * GIB)
    assert first.engine_state != "ready"


def lending_of(here: Here, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What its worker is told to lend from now on, in bytes by device."""
    lent: dict[str, int] = {}
    assert here.work is not None
    monkeypatch.setattr(
        here.work, "lend", lambda offers: lent.update((one.name, one.offered) for one in offers)
    )
    return lent


async def test_what_was_known_before_the_stay_began_is_lent_with_the_first_record(
    clock: MockClock, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await publisher(ground, fake_engine(tmp_path / "engine"))
    lent = lending_of(anna, monkeypatch)
    one.first()
    assert list(lent) == ["CPU"]


async def test_what_the_engine_has_is_published_and_lent_when_it_is_known(
    clock: MockClock, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await publisher(ground, memory="cuda0=4294967296,cpu=1073741824")
    profiles = published(anna, monkeypatch)
    lent = lending_of(anna, monkeypatch)
    assert one.first().memory_offered == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        anna.machine(fake_engine(tmp_path / "engine"))
        anna.context.keeper.devices = (CARD, *anna.context.keeper.devices)
        anna.changes.notify()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert lent == {"CUDA0": 4 * GIB, "CPU": GIB}
    assert {one.name: one.memory_offered for one in profiles[-1].devices} == lent
    assert (profiles[-1].accelerator_name, profiles[-1].memory_offered) == ("NVIDIA L4", 4 * GIB)


async def test_a_change_that_is_worth_it_is_published_at_once(
    clock: MockClock, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await publisher(ground, work=False)
    profiles = published(anna, monkeypatch)
    one.first()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        anna.changes.notify()
        await trio.testing.wait_all_tasks_blocked()
        assert profiles == []
        anna.machine(fake_engine(tmp_path / "engine"))
        anna.changes.notify()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [(one.engine_state, one.engine_commit) for one in profiles] == [("ready", "abc")]


async def test_memory_is_measured_again_while_nothing_else_changes(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, one = await publisher(ground)
    profiles = published(anna, monkeypatch)
    one.first()
    monkeypatch.setattr(lending, "measure", lambda: MachineMemory(16 * GIB, 2 * GIB))
    with trio.move_on_after(3 * module.PUBLISH_SECONDS):
        await one.run()
    assert [profile.memory_free for profile in profiles] == [2 * GIB]


async def test_a_member_is_announced_to_machines_nearby(clock: MockClock, ground: Ground) -> None:
    anna, one = await publisher(ground)
    await one.announce()
    assert anna.mdns.announced == [id_text(anna.own_pool)]

"""What this machine says of itself: at the start, and whenever it has changed by enough."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from leader.model.held_models import Models
from mesh.member import publisher as module
from mesh.member.publisher import Publisher
from mesh.protocol.base.effects import Effect
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.identity import id_text
from mesh.wire.profile import Profile
from tests.mesh.fake_engine import fake_engine
from tests.mesh.machines import Ground, Here
from worker.hardware import MachineMemory

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measure", lambda backend: MachineMemory(16 * GIB, 8 * GIB))


async def publisher(ground: Ground, **options: object) -> tuple[Here, Publisher]:
    anna = await ground.machine("anna")
    anna.found()
    assert anna.driver is not None
    context = anna.machine(None, **options)
    work = WorkerLoop(context, lambda: None)
    one = Publisher(context, anna.driver, work, Models(anna.state.path / "models.json"))
    await one.measure()
    return anna, one


def published(here: Here, monkeypatch: pytest.MonkeyPatch) -> list[Profile]:
    """What its node is asked to publish from now on."""
    profiles: list[Profile] = []

    def publish(now: float, profile: Profile) -> list[Effect]:
        profiles.append(profile)
        return []

    monkeypatch.setattr(here.node, "publish", publish)
    return profiles


async def test_a_machine_offers_what_it_was_told_to_at_most_what_it_has(
    clock: MockClock, ground: Ground
) -> None:
    _, one = await publisher(ground, memory=3 * GIB)
    first = one.first()
    assert (first.memory_total, first.memory_offered, first.memory_free) == (16 * GIB, 3 * GIB, 8 * GIB)
    assert first.engine_state != "ready"
    _, greedy = await publisher(ground, memory=99 * GIB)
    assert greedy.first().memory_offered == 16 * GIB


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
        anna.context.keeper.engine = fake_engine(tmp_path / "engine")
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
    monkeypatch.setattr(module, "measure", lambda backend: MachineMemory(16 * GIB, 2 * GIB))
    with trio.move_on_after(3 * module.PUBLISH_SECONDS):
        await one.run()
    assert [profile.memory_free for profile in profiles] == [2 * GIB]


async def test_a_member_is_announced_to_machines_nearby(clock: MockClock, ground: Ground) -> None:
    anna, one = await publisher(ground)
    await one.announce()
    assert anna.mdns.announced == [id_text(anna.own_pool)]

"""The leader has copies made, one at a time; a member copies for its leader alone, and stops in time."""

import math
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from leader.model import model_hash
from leader.model.held_models import Models
from mesh.copies import copy_fetch, copy_manager
from mesh.copies import copy_policy as plans
from mesh.copies.copy_manager import CopyManager, CopyState
from mesh.net.stream_kinds import StreamKind
from mesh.wire.errors import MeshError
from mesh.wire.profile import Model
from tests.mesh.copies.sources import Scripted, Weights, weights
from tests.mesh.machines import Ground, Here
from tests.waiting import MOCKED_PAUSE, until

PIECE = 100_000
CONTENT = random.Random(5).randbytes(3 * PIECE + 9)


class Member:
    """A machine with the part that is tested."""

    def __init__(self, here: Here, lead: bool = True) -> None:
        assert here.driver is not None
        self.here = here
        self.models = Models(here.state.path / "models.json")
        self.copies = CopyManager(here.machine(None, lead=lead), here.driver, self.models)
        here.handlers[StreamKind.COPY] = self.copies.handle_piece
        here.handlers[StreamKind.COPIES] = self.copies.handle_ask

    def tell(self) -> None:
        """Publish which models are held."""
        held = tuple(Model(one.name, one.size, one.root) for one in self.models.held())
        assert self.here.driver is not None
        self.here.driver.do(self.here.node.publish, replace(self.here.profile, models=held))


class Company:
    """Anna leads and holds the model; bert and cara do not."""

    def __init__(self, members: list[Member], nursery: trio.Nursery, weights: Weights) -> None:
        self.anna, self.bert, self.cara = members
        self.weights = weights
        self.model = weights.model
        for member in members:
            nursery.start_soon(member.copies.run)

    def hold(self, member: Member) -> None:
        member.models.add(self.model.name, self.model.root, self.weights.files)
        member.tell()

    def deploy(
        self,
        copies: int = 2,
        running: bool = True,
        model: Model | None = None,
        second: Model | None = None,
    ) -> None:
        driver = self.anna.here.driver
        assert driver is not None
        deploy = self.anna.here.node.deploy
        driver.do(deploy, model or self.model, 128, 1, running, (), copies, (), second)
        self.anna.here.changes.notify()


@pytest.fixture
async def company(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Company]:
    monkeypatch.setattr(model_hash, "PIECE", PIECE)
    monkeypatch.setattr(plans, "MARGIN", 1 << 20)
    monkeypatch.setattr(copy_manager, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(copy_fetch, "LOOK_SECONDS", 0.02)
    anna, bert, cara = [await ground.machine(name) for name in ("anna", "bert", "cara")]
    anna.profile = replace(anna.profile, rank=100)
    bert.profile = replace(bert.profile, memory_offered=1 << 30)
    anna.found()
    for here in (bert, cara):
        here.enter(await here.search().by_host(anna.endpoint, anna.invite()))
    await ground.acquaint(anna, bert, cara)
    with trio.fail_after(30):
        while any((claim := one.node.leader()) is None or claim.author != anna.id for one in ground.machines):
            await anna.changes.wait(anna.changes.count, 1)
    clock.autojump_threshold = math.inf
    clock.rate = 1.0  # files are written by threads, in real time
    with trio.fail_after(60):
        company = Company([Member(here) for here in (anna, bert, cara)], nursery, weights(tmp_path, CONTENT))
        yield company


def copied(member: Member, company: Company) -> bool:
    return member.models.find(company.model.root) is not None


async def test_the_leader_has_a_second_copy_made_where_the_most_memory_is(company: Company) -> None:
    company.hold(company.anna)
    company.deploy()
    await until(lambda: copied(company.bert, company), pause=MOCKED_PAUSE)
    held = company.bert.models.find(company.model.root)
    assert held is not None
    assert held.files[0].read_bytes() == CONTENT
    assert held.files[0].name == company.model.name
    assert not copied(company.cara, company)
    company.bert.tell()
    await until(lambda: company.anna.copies.lacking == "", pause=MOCKED_PAUSE)


async def test_both_files_of_a_deployment_come_to_the_same_member(company: Company, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    beside = weights(tmp_path / "beside", CONTENT[:PIECE], name="mmproj.gguf")
    company.anna.models.add(beside.model.name, beside.model.root, beside.files)
    company.hold(company.anna)
    company.deploy(second=beside.model)
    find = company.bert.models.find
    await until(lambda: copied(company.bert, company), pause=MOCKED_PAUSE)
    assert find(beside.model.root) is not None, "the smaller one came first"
    assert not company.cara.models.held()
    company.bert.tell()
    await until(lambda: company.anna.copies.lacking == "", pause=MOCKED_PAUSE)
    assert company.bert.copies.prune() == [], "both are deployed"
    company.deploy()
    await until(lambda: _second(company.bert) is None, pause=MOCKED_PAUSE)
    (gone,) = company.bert.copies.prune()
    assert gone.root == beside.model.root


async def test_a_leader_brings_files_together_that_two_others_hold(company: Company, tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    beside = weights(tmp_path / "beside", CONTENT[:PIECE], name="mmproj.gguf")
    company.cara.models.add(beside.model.name, beside.model.root, beside.files)
    company.cara.tell()
    company.hold(company.bert)
    company.deploy(copies=1, second=beside.model)
    await until(lambda: len(company.anna.models.held()) == 2, pause=MOCKED_PAUSE)


def _second(member: Member) -> Model | None:
    deployment = member.here.node.deployment()
    return None if deployment is None else deployment.second


async def test_three_copies_are_made_one_after_another_when_three_are_wanted(company: Company) -> None:
    company.hold(company.anna)
    company.deploy(copies=3)
    await until(lambda: copied(company.bert, company), pause=MOCKED_PAUSE)
    company.bert.tell()
    await until(lambda: copied(company.cara, company), pause=MOCKED_PAUSE)


async def test_what_keeps_the_pool_from_having_enough_copies_is_told(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in (company.bert, company.cara):
        monkeypatch.setattr(member.copies._store, "free", lambda: 0)
    company.hold(company.anna)
    company.deploy()
    await until(lambda: company.anna.copies.lacking != "", pause=MOCKED_PAUSE)
    assert company.anna.copies.lacking == (
        "1 of 2 copies: bert lacks 1.3 MiB of disk space, cara lacks 1.3 MiB of disk space"
    )
    company.deploy(copies=1)
    await until(lambda: company.anna.copies.lacking == "", pause=MOCKED_PAUSE)


async def test_a_leader_without_the_file_copies_it_itself_and_tells_how_far_it_is(company: Company) -> None:
    source = Scripted(company.weights, hold=trio.Event()).at(company.bert.here)
    company.hold(company.bert)
    company.deploy(copies=1)
    # A copy counts at a member that may lead: this one may not.
    driver = company.bert.here.driver
    assert driver is not None
    held = (company.model,)
    driver.do(driver.node.publish, replace(company.bert.here.profile, models=held, rank=0))
    await until(lambda: bool(source.asked), pause=MOCKED_PAUSE)
    copying = company.anna.copies.progress
    assert copying is not None
    assert (copying.done, copying.total) == (0, company.model.size)
    source.hold.set()
    await until(lambda: company.anna.copies.progress is None, pause=MOCKED_PAUSE)
    assert copied(company.anna, company)


async def test_only_the_leader_may_have_a_member_copy(company: Company) -> None:
    company.hold(company.anna)
    company.deploy(copies=1)
    await until(lambda: company.bert.here.node.deployment() is not None, pause=MOCKED_PAUSE)
    before = company.cara.copies
    members = [one for one in company.cara.here.node.members() if one.id == company.bert.here.id]
    states = await before.survey(company.model.root, members, fetch=True)
    assert states[company.bert.here.id].phase == ""
    assert company.bert.copies.progress is None


async def test_a_copy_ends_when_something_else_is_deployed_and_is_kept(company: Company) -> None:
    company.hold(company.anna)

    source = Scripted(company.weights, before=lambda number, session: None, hold=trio.Event())
    source.at(company.anna.here)
    company.deploy()
    await until(lambda: bool(source.asked), pause=MOCKED_PAUSE)
    company.deploy(model=replace(company.model, root=b"x" * 32))
    await until(lambda: company.bert.copies.progress is None, pause=MOCKED_PAUSE)
    assert not copied(company.bert, company)
    (stored,) = company.bert.copies._store.stored()
    assert (stored.root, stored.whole) == (company.model.root, False)
    assert company.bert.copies.prune() == [stored]


async def test_pruning_keeps_what_is_deployed(company: Company) -> None:
    company.hold(company.anna)
    company.deploy()
    await until(lambda: copied(company.bert, company), pause=MOCKED_PAUSE)
    assert company.bert.copies.prune() == []
    company.deploy(running=False)
    await until(lambda: not company.bert.here.node.deployment().running, pause=MOCKED_PAUSE)  # type: ignore[union-attr]
    (gone,) = company.bert.copies.prune()
    assert gone.whole
    assert not copied(company.bert, company)


async def test_a_copy_is_superfluous_where_the_model_is_served_from_a_file_of_its_own(
    company: Company,
) -> None:
    company.hold(company.anna)
    company.deploy()
    await until(lambda: copied(company.bert, company), pause=MOCKED_PAUSE)
    company.hold(company.bert)  # `mesh serve` of the same file there
    assert [stored.whole for stored in company.bert.copies.prune()] == [True]
    assert copied(company.bert, company)


@pytest.mark.parametrize(
    "answer",
    [None, [], [True], {"holds": True}, [1, 0, 0, "", 0.0, 0, ""], [True, -1, 0, "", 0.0, 0, ""]],
)
def test_an_answer_that_is_none_is_refused(answer: object) -> None:
    with pytest.raises(MeshError):
        copy_manager._STATE.load(answer)


def test_a_state_is_read_as_it_was_told() -> None:
    state = CopyState(False, 1 << 40, 5, "copying", 1.5, 2, "because")
    assert copy_manager._STATE.load(list(copy_manager._STATE.dump(state))) == state

"""What a member that is alone learns of the others: that they are of another version, or nothing."""

import pytest
import trio
from trio.testing import MockClock

from mesh.member.lone_member import ALL_SECONDS, out_of_reach
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.wire.endpoint import Endpoint
from mesh.wire.messages import Bodies, encode
from mesh.wire.versions import Versions
from tests.mesh.admission.company import ask
from tests.mesh.machines import Ground, Here

LATER = ProgramVersion(Versions(5, 6), "0.9.0")


async def restarted(ground: Ground) -> tuple[Here, Here, Here]:
    """A member that comes back, and its two companions, of which its cache of peers knows."""
    anna, bert, carl = [await ground.machine(name) for name in ("anna", "bert", "carl")]
    anna.found()
    carl.enter(await ask(carl, anna, anna.invite()))
    bert.enter(await ask(bert, anna, anna.invite()))
    assert bert.driver is not None
    bert.driver.do(bert.node.receive_stream, anna.id, encode(Bodies(tuple(anna.node.chain(carl.id)))))
    bert.discovery.remember(anna.own_pool, [anna.endpoint, carl.endpoint])
    assert len(bert.node.keys()) == 3, "it knows the others' keys, and has heard of none of them yet"
    assert [member.id for member in bert.node.members()] == [bert.id]
    return anna, bert, carl


async def company(here: Here) -> OtherVersion | None:
    assert here.driver is not None
    with trio.fail_after(ALL_SECONDS + 1):
        return await out_of_reach(here.context, here.driver)


async def test_where_all_that_answer_speak_another_version_one_is_named(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await restarted(ground)
    anna.streams.here = carl.streams.here = LATER
    apart = await company(bert)
    assert apart is not None
    assert apart.theirs == LATER
    assert apart.peer == min(anna.id, carl.id)


async def test_a_machine_that_was_upgraded_too_far_learns_it_as_well(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, carl = await restarted(ground)
    bert.streams.here = LATER
    apart = await company(bert)
    assert apart is not None
    assert apart.message.startswith("anna (" if anna.id < carl.id else "carl (")
    assert apart.message.endswith(", this machine 5 and 6")


async def test_one_that_answers_in_a_common_version_is_company(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = await restarted(ground)
    anna.streams.here = LATER
    assert await company(bert) is None
    carl.streams.here = LATER
    assert await company(bert) is not None


async def test_one_that_refuses_for_another_reason_is_company_too(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert, carl = await restarted(ground)
    anna.streams.here = LATER
    monkeypatch.setattr(carl.streams, "_is_full", lambda peer, remote: True)
    assert await company(bert) is None


async def test_a_stranger_of_another_version_at_a_known_address_is_nobody(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert, _carl = await restarted(ground)
    dora = await ground.machine("dora")
    dora.streams.here = LATER
    nobody = Endpoint(anna.endpoint.host, 1)
    bert.discovery.remember(anna.own_pool, [dora.endpoint, nobody])
    assert await company(bert) is None


async def test_who_is_in_company_or_never_was_asks_nobody(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = await restarted(ground)
    dora = await ground.machine("dora")
    dora.found()
    assert await company(dora) is None
    await ground.acquaint(anna, bert, carl)
    anna.streams.here = carl.streams.here = LATER
    assert await company(bert) is None
    assert anna.streams.drops.counts == carl.streams.drops.counts == {}

"""A founder still alone moves to a better pool, and admits nobody from the moment that it may be gone."""

import pytest
import trio
from trio.testing import MockClock

from mesh.admission.handshake import AdmissionClient, AdmissionRefused, Admitted
from mesh.admission.search import Search
from mesh.member.relocation import LOOK_SECONDS, find_company
from tests.mesh.machines import Ground, Here, identities


async def founders(ground: Ground) -> tuple[Here, Here]:
    """Two of one owner, each in a pool of its own, of which the second is to move."""
    first, second = identities(2)
    machines = await ground.machine("first", "alice", first), await ground.machine("second", "alice", second)
    for here in machines:
        here.found()
    return machines


async def test_a_machine_without_proof_of_ownership_stays_where_it_is(
    clock: MockClock, ground: Ground
) -> None:
    anna = await ground.machine("anna")
    anna.found()
    assert await find_company(anna.context, anna.admission_server, anna.node) is None


async def test_the_second_moves_and_is_moving_from_then_on(clock: MockClock, ground: Ground) -> None:
    first, second = await founders(ground)
    with trio.fail_after(2 * LOOK_SECONDS):
        admitted = await find_company(second.context, second.admission_server, second.node)
    assert admitted is not None
    assert admitted.pool == first.own_pool
    assert second.admission_server.greeting().state == "moving"


async def test_the_first_does_not_move(clock: MockClock, ground: Ground) -> None:
    first, _ = await founders(ground)
    with trio.move_on_after(5 * LOOK_SECONDS) as looked:
        await find_company(first.context, first.admission_server, first.node)
    assert looked.cancelled_caught


async def test_a_machine_that_is_refused_is_a_member_again_and_tries_again(
    clock: MockClock, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = await founders(ground)
    states: list[str] = []
    ask, look = AdmissionClient.ask, Search.better_pool

    async def better_pool(search: Search) -> AdmissionClient | None:
        if states:
            states.append(second.admission_server.greeting().state)
        return await look(search)

    async def refused_once(client: AdmissionClient, *arguments: object) -> Admitted:
        states.append(second.admission_server.greeting().state)
        if len(states) == 1:
            raise AdmissionRefused("not now")
        return await ask(client, second.identity, second.name, None)

    monkeypatch.setattr(AdmissionClient, "ask", refused_once)
    monkeypatch.setattr(Search, "better_pool", better_pool)
    with trio.fail_after(5 * LOOK_SECONDS):
        assert await find_company(second.context, second.admission_server, second.node) is not None
    assert states == ["moving", "member", "moving"]

"""Where a machine without a pool looks for one, and which of several founders goes first."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from mesh.admission.handshake import AdmissionRefused, Uninvited
from mesh.admission.invites import Token
from mesh.admission.pool_names import pool_name
from mesh.admission.search import LISTEN_SECONDS, SEARCH_SECONDS, TOKEN_SECONDS
from mesh.net.discovery.discovery_source import Sighting
from mesh.net.discovery.tailscale import Tailscale
from mesh.net.versions_preface import OtherVersion, ProgramVersion
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text
from mesh.wire.versions import Versions
from tests.mesh.machines import Ground, Here, identities

LATER = Versions(5, 6)


async def owned(ground: Ground, count: int, owner: str = "alice") -> list[Here]:
    """Machines of one owner, the first of which goes first when all found at once."""
    return [
        await ground.machine(f"m{number}", owner, identity)
        for number, identity in enumerate(identities(count))
    ]


async def join(here: Here) -> None:
    """`mesh join` with nothing typed, as far as the tailnet goes."""
    admitted = await here.search().by_owner()
    if admitted is None:
        here.found()
    else:
        here.enter(admitted)


def sighting(here: Here, endpoints: tuple[Endpoint, ...]) -> Sighting:
    pool = here.own_pool if here.driver is None else here.driver.pool
    return Sighting(id_text(pool), id_text(here.id), here.name, here.streams.here.speaks, endpoints)


async def upgraded(ground: Ground, name: str, owner: str | None = None) -> Here:
    """A founder whose program has no wire version in common with those of other machines."""
    here = await ground.machine(name, owner)
    here.found()
    here.streams.here = ProgramVersion(LATER, "0.9.0")
    return here


async def refused_at_once(searching: Awaitable[Any]) -> OtherVersion:
    """The refusal for the version, which no search waits for."""
    start = trio.current_time()
    with pytest.raises(OtherVersion) as caught:
        await searching
    assert trio.current_time() - start < LISTEN_SECONDS + 1
    return caught.value


# --- the tailnet


async def test_without_a_tailnet_nothing_is_searched(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    assert await anna.search().by_owner() is None
    assert anna.said == []


async def test_alone_on_the_tailnet_a_machine_founds_at_once(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna", "alice")
    start = trio.current_time()
    assert await anna.search().by_owner() is None
    assert trio.current_time() - start < SEARCH_SECONDS


async def test_a_pool_of_the_same_owner_is_joined(clock: MockClock, ground: Ground) -> None:
    anna, bert = await owned(ground, 2)
    anna.found()
    admitted = await bert.search().by_owner()
    assert admitted is not None
    assert admitted.pool == anna.own_pool


async def test_of_two_pools_the_one_in_company_is_joined(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl, dora = await owned(ground, 4)
    anna.found()
    bert.found()
    carl.enter(await carl.search().by_host(bert.endpoint, None))
    await ground.acquaint(bert, carl)
    found = await dora.search().by_owner()
    assert found is not None
    assert found.pool == bert.own_pool, "a founder still alone can move, a pool of two cannot"


async def test_a_pool_of_another_owner_that_says_no_is_a_reason_to_stop(
    clock: MockClock, ground: Ground
) -> None:
    bob, anna = await ground.machine("bob", "bob"), await ground.machine("anna", "alice")
    bob.found()
    search = anna.search()
    assert await search.by_owner() is None
    with pytest.raises(
        AdmissionRefused, match=r"bob .* does not admit this machine: .* belongs to alice"
    ) as caught:
        search.check_refusals()
    assert "mesh join --found" in caught.value.hint


async def test_a_strangers_pool_is_not_entered_though_it_would_admit(
    clock: MockClock, ground: Ground
) -> None:
    bob, anna = await ground.machine("bob", "bob"), await ground.machine("anna", "alice")
    bob.found()
    # Bob's daemon lies, or his admission server was changed: it takes any machine for his own.
    bob_sees = dict(ground.tailnet.owners, **{anna.endpoint.host: "bob"})
    assert isinstance(bob.tailscale, Tailscale)
    bob.tailscale._tailnet = type(ground.tailnet)(bob_sees)  # type: ignore[attr-defined]
    search = anna.search()
    assert await search.by_owner() is None
    with pytest.raises(AdmissionRefused, match="belongs to bob"):
        search.check_refusals()


async def test_a_refusal_by_one_pool_does_not_keep_from_another(clock: MockClock, ground: Ground) -> None:
    bob, anna, anton = [
        await ground.machine(name, owner)
        for name, owner in (("bob", "bob"), ("anna", "alice"), ("anton", "alice"))
    ]
    bob.found()
    anna.found()
    admitted = await anton.search().by_owner()
    assert admitted is not None
    assert admitted.pool == anna.own_pool


async def test_a_tailnet_that_is_down_is_as_good_as_none(clock: MockClock, ground: Ground) -> None:
    anna, bert = await owned(ground, 2)
    anna.found()
    ground.tailnet.down = "the tailnet is stopped"
    assert await bert.search().by_owner() is None


# --- founders that start at the same moment


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_of_machines_that_start_at_once_exactly_one_founds(
    clock: MockClock, ground: Ground, count: int
) -> None:
    machines = await owned(ground, count)
    async with trio.open_nursery() as nursery:
        for here in reversed(machines):
            nursery.start_soon(join, here)
    assert {here.node.pool for here in machines} == {machines[0].own_pool}


async def test_one_that_starts_while_another_searches_waits_for_it(clock: MockClock, ground: Ground) -> None:
    first, second = await owned(ground, 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(join, second)
        await trio.sleep(0.7)
        assert second.driver is None
        nursery.start_soon(join, first)
    assert second.node.pool == first.node.pool == first.own_pool


async def test_a_machine_that_searches_without_end_does_not_keep_others_from_founding(
    clock: MockClock, ground: Ground
) -> None:
    _stuck, second = await owned(ground, 2)
    start = trio.current_time()
    await join(second)
    assert second.node.pool == second.own_pool
    assert trio.current_time() - start <= SEARCH_SECONDS + 1


async def test_of_two_founders_still_alone_the_later_in_order_moves(clock: MockClock, ground: Ground) -> None:
    first, second = await owned(ground, 2)
    first.found()
    second.found()
    assert await first.search().better_pool() is None
    client = await second.search().better_pool()
    assert client is not None
    assert client.greeting.pool == first.own_pool
    admitted = await client.ask(second.identity, second.name, None)
    await client.aclose()
    assert admitted.pool == first.own_pool


async def test_a_founder_moves_to_a_pool_in_company_whatever_the_order(
    clock: MockClock, ground: Ground
) -> None:
    first, second, third = await owned(ground, 3)
    first.found()
    second.found()
    third.enter(await third.search().by_host(second.endpoint, None))
    await ground.acquaint(second, third)
    client = await first.search().better_pool()
    assert client is not None
    assert client.greeting.pool == second.own_pool
    await client.aclose()


async def test_nobody_moves_to_another_owners_pool(clock: MockClock, ground: Ground) -> None:
    keys = identities(2)
    bob, anna = await ground.machine("bob", "bob", keys[0]), await ground.machine("anna", "alice", keys[1])
    bob.found()
    anna.found()
    assert await anna.search().better_pool() is None


# --- a host


async def test_a_named_host_is_asked_with_the_token_if_there_is_one(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    with pytest.raises(AdmissionRefused, match="admits by invite"):
        await bert.search().by_host(anna.endpoint, None)
    admitted = await bert.search().by_host(anna.endpoint, anna.invite())
    assert admitted.pool == anna.own_pool


async def test_a_host_that_is_joining_itself_is_asked_again(
    clock: MockClock, ground: Ground, nursery: trio.Nursery
) -> None:
    anna, bert = await owned(ground, 2)

    async def found_later() -> None:
        await trio.sleep(2)
        anna.found()

    nursery.start_soon(found_later)
    assert (await bert.search().by_host(anna.endpoint, None)).pool == anna.own_pool


async def test_a_host_that_never_has_a_pool_is_given_up(clock: MockClock, ground: Ground) -> None:
    anna, bert = await owned(ground, 2)
    with pytest.raises(MeshError, match="does not answer"), trio.fail_after(SEARCH_SECONDS + 5):
        await bert.search().by_host(anna.endpoint, None)


# --- a token


async def test_a_tokens_hints_lead_to_the_pool(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    assert (await bert.search().by_token(anna.invite())).pool == anna.own_pool
    assert bert.said[0] == f"looking for pool {id_text(anna.own_pool)[:8]}"


async def test_without_hints_the_pool_is_found_on_the_local_network(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    token = anna.invite()
    bert.mdns.see.send_nowait(sighting(anna, (anna.endpoint,)))
    await trio.testing.wait_all_tasks_blocked()
    blank = Token(token.pool, token.issuer, token.secret, ())
    assert (await bert.search().by_token(blank)).pool == anna.own_pool


async def test_without_hints_the_pool_is_found_on_the_tailnet(clock: MockClock, ground: Ground) -> None:
    anna, bob = await ground.machine("anna", "alice"), await ground.machine("bob", "bob")
    anna.found()
    token = anna.invite()
    blank = Token(token.pool, token.issuer, token.secret, ())
    assert (await bob.search().by_token(blank)).pool == anna.own_pool


async def test_a_token_leads_past_wrong_pools_and_dead_addresses(clock: MockClock, ground: Ground) -> None:
    anna, bert, carl = [await ground.machine(name) for name in ("anna", "bert", "carl")]
    anna.found()
    carl.found()
    token = anna.invite()
    hints = (Endpoint(anna.endpoint.host, 1), carl.endpoint, anna.endpoint)
    admitted = await bert.search().by_token(Token(token.pool, token.issuer, token.secret, hints))
    assert admitted.pool == anna.own_pool


async def test_a_refused_token_is_not_tried_again(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    start = trio.current_time()
    with pytest.raises(AdmissionRefused, match="has expired"):
        await bert.search().by_token(anna.invite(expires=0))
    assert trio.current_time() - start < 1


async def test_a_token_whose_pool_is_silent_is_given_up_with_what_was_tried(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    token = anna.invite()
    dead = Endpoint(anna.endpoint.host, 1)
    search = bert.search()
    with pytest.raises(MeshError, match=f"no member of the token's pool answers .*{dead}"):
        with trio.fail_after(TOKEN_SECONDS + 5):
            await search.by_token(Token(token.pool, token.issuer, token.secret, (dead,)))
    with pytest.raises(MeshError, match="no address to try"):
        await search.by_token(Token(token.pool, token.issuer, token.secret, ()))


# --- the local network


async def test_pools_on_the_local_network_are_named_not_joined(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    bert.mdns.see.send_nowait(sighting(anna, (anna.endpoint,)))
    with pytest.raises(MeshError, match=r"there is a pool on this network: .* \(at anna\)") as caught:
        await bert.search().anywhere()
    assert "mesh invite" in caught.value.hint


async def test_a_quiet_local_network_is_listened_to_for_a_moment(clock: MockClock, ground: Ground) -> None:
    anna = await ground.machine("anna")
    start = trio.current_time()
    assert await anna.search().anywhere() is None
    assert trio.current_time() - start == pytest.approx(LISTEN_SECONDS, abs=0.01)


async def test_a_pool_that_appears_on_the_tailnet_during_the_local_search_is_joined(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna", "alice"), await ground.machine("bert", "alice")
    bert_searches = bert.search()

    async def found_later() -> None:
        await trio.sleep(LISTEN_SECONDS / 2)
        anna.found()
        bert.mdns.see.send_nowait(sighting(anna, (anna.endpoint,)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(found_later)
        admitted = await bert_searches.anywhere()
    assert admitted is not None
    assert admitted.pool == anna.node.pool


# --- machines whose programs speak no wire version of this one


async def test_a_host_of_another_version_refuses_at_once_and_both_are_named(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna"), await ground.machine("bert")
    other = await refused_at_once(bert.search().by_host(anna.endpoint, anna.invite()))
    host = anna.endpoint.host
    assert other.message == f"{host} speaks wire version 5 and 6 (mesh 0.9.0), this machine 2 and 3"
    assert other.hint == "upgrade this machine, then: mesh join"
    bert.streams.here, anna.streams.here = anna.streams.here, bert.streams.here
    older = await refused_at_once(bert.search().by_host(anna.endpoint, None))
    assert older.message == f"bert ({host}) speaks wire version {anna.streams.here}, this machine 5 and 6"
    assert older.hint == "upgrade that one, then there: mesh restart"


async def test_a_token_of_a_pool_of_another_version_is_refused_at_once(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna"), await ground.machine("bert")
    token, dead = anna.invite(), Endpoint(anna.endpoint.host, 1)
    hints = (dead, anna.endpoint)
    other = await refused_at_once(
        bert.search().by_token(Token(token.pool, token.issuer, token.secret, hints))
    )
    assert other.theirs == anna.streams.here


async def test_of_a_tokens_members_one_that_can_speak_admits(clock: MockClock, ground: Ground) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    carl = await upgraded(ground, "carl")
    anna.found()
    token = anna.invite()
    hints = (carl.endpoint, anna.endpoint)
    admitted = await bert.search().by_token(Token(token.pool, token.issuer, token.secret, hints))
    assert admitted.pool == anna.own_pool


async def test_a_member_that_is_busy_is_waited_for_though_another_cannot_speak(
    clock: MockClock, ground: Ground, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    carl = await upgraded(ground, "carl")
    anna.found()
    full = True
    monkeypatch.setattr(anna.streams, "_is_full", lambda peer, remote: full)

    async def have_room() -> None:
        nonlocal full
        await trio.sleep(3)
        full = False

    nursery.start_soon(have_room)
    token = anna.invite()
    hints = (carl.endpoint, anna.endpoint)
    admitted = await bert.search().by_token(Token(token.pool, token.issuer, token.secret, hints))
    assert admitted.pool == anna.own_pool


async def test_a_member_that_announces_another_version_is_named_and_not_asked(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna"), await ground.machine("bert")
    token = anna.invite()
    bert.mdns.see.send_nowait(sighting(anna, (anna.endpoint,)))
    await trio.testing.wait_all_tasks_blocked()
    blank = Token(token.pool, token.issuer, token.secret, ())
    other = await refused_at_once(bert.search().by_token(blank))
    where = f"anna, of pool {pool_name(anna.own_pool)},"
    assert other.message == f"{where} speaks wire version 5 and 6, this machine 2 and 3"
    assert anna.streams.drops.counts == {}


async def test_on_the_tailnet_a_machine_of_another_version_is_a_reason_to_stop(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna", "alice"), await ground.machine("bert", "alice")
    other = await refused_at_once(bert.search().anywhere())
    assert f"{anna.endpoint.host} speaks wire version 5 and 6" in other.message
    assert other.hint == "upgrade this machine, then: mesh join; or found another: mesh join --found"


async def test_on_the_tailnet_one_of_another_version_does_not_keep_from_one_that_admits(
    clock: MockClock, ground: Ground
) -> None:
    await upgraded(ground, "anna", "alice")
    bert, carl = await ground.machine("bert", "alice"), await ground.machine("carl", "alice")
    bert.found()
    admitted = await carl.search().by_owner()
    assert admitted is not None
    assert admitted.pool == bert.own_pool


async def test_a_machine_that_was_upgraded_meanwhile_is_no_reason_any_more(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna", "bob"), await ground.machine("bert", "alice")
    search = bert.search()
    assert await search.by_owner() is None
    with pytest.raises(OtherVersion):
        search.check_refusals()
    anna.streams.here = bert.streams.here
    assert await search.by_owner() is None
    with pytest.raises(AdmissionRefused, match="belongs to alice"):
        search.check_refusals()


async def test_a_pool_on_the_local_network_of_another_version_is_named_so(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await upgraded(ground, "anna"), await ground.machine("bert")
    bert.mdns.see.send_nowait(sighting(anna, (anna.endpoint,)))
    search = bert.search()
    other = await refused_at_once(search.anywhere())
    assert other.message.startswith(f"anna, of pool {pool_name(anna.own_pool)}, speaks wire version 5 and 6")
    assert other.hint == "upgrade this machine, then: mesh join; or found another: mesh join --found"
    assert search.lan_endpoints() == {}


async def test_of_pools_on_the_local_network_those_that_can_be_joined_are_offered(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    carl = await upgraded(ground, "carl")
    anna.found()
    for one in (anna, carl):
        bert.mdns.see.send_nowait(sighting(one, (one.endpoint,)))
    with pytest.raises(Uninvited, match=r"there is a pool on this network: \S+ \(at anna\) \(get"):
        await bert.search().anywhere()
    assert any(line.startswith("carl, of pool") for line in bert.said)
    assert list(bert.search().lan_endpoints()) == [anna.own_pool]


async def test_of_a_pools_members_in_sight_one_that_can_speak_is_named(
    clock: MockClock, ground: Ground
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    mixed = sighting(anna, (anna.endpoint,))
    for seen in (mixed, replace(mixed, node="ab" * 16, name="shed", speaks=LATER)):
        bert.mdns.see.send_nowait(seen)
    with pytest.raises(Uninvited, match=r"\(at anna\)"):
        await bert.search().anywhere()

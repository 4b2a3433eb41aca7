"""What a stay attaches is as it was before when the stay has ended, however it ends."""

import pytest
from trio.testing import MockClock

from mesh.member.attachment import Attachment
from mesh.net.discovery.discovery_source import Sighting
from mesh.runtime.node_driver import NodeDriver
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity
from mesh.wire.rights import ALL_RIGHTS
from tests.mesh.machines import Ground, Here

SOMEWHERE = Endpoint("192.0.2.7", 7)


def ignore(sighting: Sighting) -> None:
    """Greet nobody."""


def attached_to(here: Here) -> tuple[object, ...]:
    """Everything that a stay attaches, as it is now."""
    streams, admission_server = here.streams, here.admission_server
    keys = dict(streams._trust.keys)
    admission = (
        admission_server.driver,
        admission_server.pool_name,
        admission_server.moving,
        here.discovery.on_sighting,
    )
    return streams.pool, streams.is_fenced(), keys, here.datagrams.is_known(SOMEWHERE), *admission


def greeter(here: Here) -> object:
    """What hears announcements at present, if anything does."""
    return here.discovery.on_sighting


def founder(here: Here) -> NodeDriver:
    """What runs its node in a pool of its own, attached to nothing yet."""
    driver = NodeDriver.of(
        here.context, here.own_pool, here.context.node_in(here.own_pool), lambda claim: None
    )
    driver.do(driver.node.found)
    return driver


@pytest.fixture
async def anna(clock: MockClock, ground: Ground) -> Here:
    return await ground.machine("anna")


async def test_streams_and_datagrams_are_the_pools_before_the_door_opens(anna: Here) -> None:
    driver = founder(anna)
    with Attachment(anna.context, anna.admission_server, driver, "zany-pool", ignore) as attachment:
        assert anna.streams.pool == anna.own_pool
        assert anna.admission_server.greeting().state == "searching"
        assert greeter(anna) is None
        attachment.open_admission()
        assert anna.admission_server.greeting().state == "member"
        assert anna.admission_server.greeting().pool_name == "zany-pool"
        assert greeter(anna) is ignore
        attachment.close_admission()
        assert anna.admission_server.greeting().state == "searching"
        assert anna.streams.pool == anna.own_pool


async def test_a_machine_is_mute_while_its_own_node_owes_the_disk_a_promise(
    anna: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NodeDriver, "fenced", True)
    with Attachment(anna.context, anna.admission_server, founder(anna), "", ignore):
        assert anna.streams.is_fenced()
    assert not anna.streams.is_fenced()


async def test_the_node_says_which_addresses_are_members_and_hears_which_are_refused(
    anna: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[Endpoint] = []
    driver = founder(anna)
    monkeypatch.setattr(driver, "refused", refused.append)
    monkeypatch.setattr(driver.node, "knows", lambda source: source == SOMEWHERE)
    with Attachment(anna.context, anna.admission_server, driver, "", ignore):
        anna.datagrams.on_unreachable(SOMEWHERE)
        assert anna.datagrams.is_known(SOMEWHERE)
    anna.datagrams.on_unreachable(SOMEWHERE)
    assert not anna.datagrams.is_known(SOMEWHERE)
    assert refused == [SOMEWHERE]


@pytest.mark.parametrize("fails", [False, True])
async def test_all_is_as_before_when_the_stay_has_ended(anna: Here, fails: bool) -> None:
    before = attached_to(anna)
    driver = founder(anna)
    try:
        with Attachment(anna.context, anna.admission_server, driver, "zany-pool", ignore) as attachment:
            attachment.open_admission()
            driver.do(driver.node.vouch, Identity.generate().public_key, ALL_RIGHTS)
            anna.admission_server.moving = True
            changed = [now != then for now, then in zip(attached_to(anna), before, strict=True)]
            assert changed == [True, False, True, False, True, True, True, True]
            if fails:
                raise MeshError("the stay fails")
    except MeshError:
        assert fails
    assert attached_to(anna) == before

"""Greets the members that discovery sees, and keeps the addresses of all for the next start."""

import logging

import trio

from mesh.net.discovery.discovery import Discovery
from mesh.net.discovery.discovery_source import Sighting
from mesh.protocol.membership.peers import MemberState
from mesh.runtime.node_driver import NodeDriver
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import id_text

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
LOOK_LONGEST = 60.0
SAVE_SECONDS = 1.0
MAX_SAVED = 64


class Greeter:
    """For one stay in a pool; ``run`` lasts until cancelled."""

    def __init__(self, discovery: Discovery, driver: NodeDriver) -> None:
        self._discovery = discovery
        self._driver = driver

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look)
            nursery.start_soon(self._save)

    def greet(self, sighting: Sighting) -> None:
        """Greet a machine that has announced itself just now."""
        if sighting.pool == id_text(self._driver.pool):
            self._driver.do(self._driver.node.add_seeds, sighting.endpoints)

    async def _look(self) -> None:
        """Greet the machines that discovery sees: often while alone, rarely in company."""
        node = self._driver.node
        pause = LOOK_SECONDS
        greeted: set[Endpoint] = set()
        while True:
            known = {member.endpoint for member in node.members()}
            alone = len(known) == 1
            seen = await self._discovery.endpoints(self._driver.pool, alone=alone)
            if alone:
                greeted.clear()
            self._driver.do(node.add_seeds, [one for one in seen if one not in known and one not in greeted])
            greeted = set(seen)
            pause = LOOK_SECONDS if alone else min(LOOK_LONGEST, pause * 1.5)
            await trio.sleep(pause)

    async def _save(self) -> None:
        """Keep the others' addresses for the next start, so that a node that comes back finds them."""
        saved: list[Endpoint] = []
        seen = -1
        while True:
            peers = self._peers()
            if peers and peers != saved:
                saved = peers
                try:
                    self._discovery.remember(self._driver.pool, peers)
                except MeshError as error:
                    log.error("%s", error)
            await trio.sleep(SAVE_SECONDS)
            seen = await self._driver.changes.wait(seen, LOOK_LONGEST)

    def _peers(self) -> list[Endpoint]:
        """Addresses of the others, the dead last."""
        node = self._driver.node
        members = [member for member in node.members() if member.state is not MemberState.LEFT]
        others = [member for member in members if member.endpoint and member.id != node.id]
        others.sort(key=lambda member: (member.state is MemberState.DEAD, member.id))
        return [member.endpoint for member in others if member.endpoint is not None][:MAX_SAVED]

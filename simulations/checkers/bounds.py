"""Whatever grows has a bound: datagrams, and every container inside a Node."""

from __future__ import annotations

from functools import partial

from simulations import inside
from simulations.checkers.verdicts import Verdicts
from simulations.world import World

LARGEST_DATAGRAM = 1200
LONGEST_CONTAINER = 16384
"""The most that any list, dict or set of a Node may hold, whatever it is sent."""
FOR_EACH_MEMBER = 64
"""The same for each member of a small pool, beyond ``ROOM``."""
ROOM = 640
"""What strangers may fill: waiting facts, addresses to greet, questions under way."""
_NAME = "bounds"


class Bounds:
    """Measures what was sent and what Nodes keep."""

    def __init__(self, world: World, verdicts: Verdicts) -> None:
        self._world = world
        self._say = partial(verdicts.say, _NAME)

    def scan(self) -> None:
        """Every container of every Node."""
        world = self._world
        if world.largest > LARGEST_DATAGRAM:
            self._say(f"a datagram of {world.largest} bytes was sent")
        most = min(LONGEST_CONTAINER, ROOM + FOR_EACH_MEMBER * len(world.keys))
        for host in world.running():
            if host.node is not None:
                for path, length in inside.containers(host.node):
                    if length > most:
                        self._say(f"{path} of host{host.number} holds {length}, more than {most}")

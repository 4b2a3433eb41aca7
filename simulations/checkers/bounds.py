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
"""The most for each member, beyond ``ROOM``, once a pool is calm."""
ROOM = 560
"""What strangers may fill for good: waiting facts, silent addresses, proofs."""
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
        self._measure(LONGEST_CONTAINER, "")

    def calm(self) -> None:
        """The same when nothing happens any more: what was under way is gone."""
        self._measure(ROOM + FOR_EACH_MEMBER * len(self._world.keys), " in a calm pool")

    def _measure(self, most: int, when: str) -> None:
        for host in self._world.running():
            if host.node is not None:
                for path, length in inside.containers(host.node):
                    if length > most:
                        self._say(f"{path} of host{host.number} holds {length}, more than {most}{when}")

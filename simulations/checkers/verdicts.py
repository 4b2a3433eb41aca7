"""The violations that checkers find, and what excuses a member from some of the rules."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.wire.identity import NodeId
from simulations.world import World

_MOST = 20


class Verdicts:
    """Violations in the order in which they were found; each begins with the checker's name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.said: list[str] = []

    def say(self, checker: str, what: str) -> None:
        """Note a violation; the same one only once, and only so many in all."""
        if len(self.said) < _MOST and not any(line.endswith(f": {what}") for line in self.said):
            self.said.append(f"{self._world.now:.3f} {checker}: {what}")


@dataclass(slots=True)
class Excuses:
    """Which members are excepted from which rules, because a fault took away what the rule rests on."""

    jumped: dict[NodeId, float] = field(default_factory=dict)
    """When (seconds of the world) the clock of a member leapt last."""
    liars: set[NodeId] = field(default_factory=set)

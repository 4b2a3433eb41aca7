"""An engine of a few slots that busy members share with one whose every request ends it, by seed."""

from dataclasses import dataclass, field
from random import Random

from leader.door.askers.blame import EngineDeaths, InEngine

ATTACKER = "attacker"
TICK = 0.1
RESTART = 3.0
KILLS_AFTER = 0.3


@dataclass
class Outcome:
    """What an attack did. ``first`` is the death at which the attacker was suspended first, 0 for never."""

    deaths: int = 0
    first: int = 0
    innocents_suspended: int = 0
    innocent_seconds: float = 0.0
    requests_refused: int = 0
    answers: int = 0


@dataclass
class AttackedEngine:
    """``innocents`` members ask for ten seconds and think for ``think``; ``alone``: it strikes only alone."""

    seed: int
    innocents: int
    think: float = 5.0
    slots: int = 4
    alone: bool = False
    deaths: EngineDeaths = field(default_factory=EngineDeaths)
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._asks_at = {f"innocent {n}": self._random.uniform(0, self.think) for n in range(self.innocents)}
        self._asks_at[ATTACKER] = 30.0
        self._jobs: dict[str, tuple[bytes, float]] = {}
        self._running: dict[str, tuple[InEngine, float]] = {}
        self._digests = 0

    def run(self, seconds: float = 300.0) -> Outcome:
        now = up_at = 0.0
        while now < seconds:
            now += TICK
            if now < up_at:
                continue
            self._finish(now)
            self._start(now)
            if ATTACKER in self._running and now >= self._running[ATTACKER][1]:
                self._die(now)
                up_at = now + RESTART
        return self.outcome

    def _finish(self, now: float) -> None:
        done = [id for id, (_, until) in self._running.items() if id != ATTACKER and now >= until]
        for member in done:
            self.deaths.end(now, self._running.pop(member)[0])
            del self._jobs[member]
            self._asks_at[member] = now + self._random.expovariate(1 / self.think)
            self.outcome.answers += 1

    def _start(self, now: float) -> None:
        for member, at in self._asks_at.items():
            if member not in self._jobs and now >= at:
                self._digests += 1
                seconds = KILLS_AFTER if member == ATTACKER else self._random.expovariate(0.1)
                self._jobs[member] = (b"%d" % self._digests, seconds)
        waiting = [id for id in self._jobs if id not in self._running and now >= self._asks_at[id]]
        self._random.shuffle(waiting)
        waiting.sort(key=lambda id: not self.deaths.goes_first(id, self._jobs[id][0]))
        for place, member in enumerate(waiting):
            busy = len(self._running) >= self.slots or (member == ATTACKER and self.alone and self._running)
            if not busy:
                self._begin(now + place / 1e4, member)

    def _begin(self, now: float, member: str) -> None:
        digest, seconds = self._jobs[member]
        refused = self.deaths.refusal(now, member, digest)
        if refused is None:
            self._running[member] = (self.deaths.begin(now, member, digest), now + seconds)
        elif refused.status == 422:
            del self._jobs[member]
            self.outcome.requests_refused += 1
            self._asks_at[member] = now + self._random.expovariate(1 / self.think)
        else:
            self._asks_at[member] = now + refused.retry_after

    def _die(self, now: float) -> None:
        self.outcome.deaths += 1
        for member in self.deaths.died(now):
            if member == ATTACKER:
                self.outcome.first = self.outcome.first or self.outcome.deaths
            else:
                self.outcome.innocents_suspended += 1
                self.outcome.innocent_seconds += self.deaths.suspended_seconds(now, member)
        self._running.clear()
        del self._jobs[ATTACKER]

"""What the leader remembers of loads and runs: the reconciler's driver tells it, and asks it. Pure.

A load that a worker ended, a death soon after, a standstill: each leaves its devices out of plans, for twice
as long as the time before. A load that failed without anybody's fault leaves that very plan out. A run that
was ready for long, and then loses a worker, says nothing against it: machines go, sooner or later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from leader.blame.breaks import Break, Breaks, Judgement, Standing
from leader.blame.good_service import GoodService
from leader.blame.quarantines import FIRST, LONGEST, Exclusion, Quarantines
from leader.blame.shapes import Shape, shape
from leader.placement.cost import DeviceKey
from leader.placement.planner import Plan

EARLY: Final = 300.0
"""Seconds after it was ready in which a death is the worker's fault."""


@dataclass(slots=True)
class _Run:
    """What is being loaded, or served since ``ready_since``; ``seen`` is when that was last looked at."""

    plan: Plan
    ready_since: float | None = None
    seen: float = 0.0
    broken: bool = False
    over: bool = False

    def devices_of(self, member: bytes) -> tuple[DeviceKey, ...]:
        return tuple(stage.device.key for stage in self.plan.stages if stage.device.member == member)


class Ledger:
    """Of one node; times in seconds of the Node's clock."""

    def __init__(self, first: float = FIRST, longest: float = LONGEST) -> None:
        """``first`` and ``longest``: seconds of a quarantine."""
        self.service = GoodService()
        self._devices: Quarantines[DeviceKey] = Quarantines(first, longest)
        self._plans: Quarantines[Shape] = Quarantines(first, longest)
        self._breaks = Breaks()
        self._run: _Run | None = None

    # --- what happens

    def began(self, plan: Plan) -> None:
        """llama-server is started by this plan."""
        self._run = _Run(plan)

    def is_ready(self, now: float) -> None:
        """It serves."""
        run = self._run
        if run is None or run.over:
            return
        if run.ready_since is None:
            run.ready_since = run.seen = now
        served, run.seen = max(0.0, now - run.seen), now
        for stage in run.plan.stages:
            self._devices.served(stage.device.key, served)
        self._plans.served(shape(run.plan), served)

    def failed(self, now: float, reason: str) -> None:
        """It ended by itself. A load that no worker ended leaves out the plan."""
        run = self._run
        if run is None or run.over:
            return
        run.over = True
        if run.ready_since is None and not run.broken:
            self._plans.blame(now, shape(run.plan), reason)

    def ended(self) -> None:
        """The reconciler ended it, or it is over and was cleared away."""
        self._run = None

    def broke(
        self, now: float, member: bytes, reason: str, devices: Sequence[str] = (), cut: bool = False
    ) -> None:
        """A worker's tunnel broke, or did not open, or its rpc-server stands still or has not the memory.

        ``devices``: those behind that tunnel by name, if not all that the plan uses of the member. ``cut``:
        what ended it was between the two.
        """
        run = self._run
        if run is None or (run.ready_since is not None and now > run.ready_since + EARLY):
            return
        used = tuple(key for key in run.devices_of(member) if not devices or key[1] in devices)
        if used:
            run.broken = True
            load = shape(run.plan) if run.ready_since is None else None
            self._breaks.broke(Break(member, used, now, reason, load, cut))

    def heard(self, member: bytes, words: str, devices: Sequence[str] = ()) -> None:
        """A worker says itself what is wrong with its rpc-server: that of ``devices``, if it has several."""
        self._breaks.admitted(member, words)
        for key in self._devices.remembered:
            if key[0] == member and (not devices or key[1] in devices):
                self._devices.explain(key, words)

    def lost_leadership(self) -> None:
        """Another leads: nothing that was seen here and is not judged yet blames anybody."""
        self._breaks.drop()
        self._run = None

    # --- what follows

    def judge(
        self, now: float, standing: Mapping[bytes, Standing], unsettled_at: float
    ) -> Sequence[Judgement]:
        """The breaks that are judged now, of which those who are guilty are left out from here on."""
        judged = self._breaks.judge(now, standing, unsettled_at)
        for one in judged:
            if one.guilty:
                self.service.failed(one.tunnel.member)
                for key in one.tunnel.devices:
                    self._devices.blame(now, key, one.tunnel.reason)
            elif one.tunnel.load is not None:
                self._plans.blame(now, one.tunnel.load, one.tunnel.reason)
        return judged

    def adopt(self, now: float, device: DeviceKey, seconds: float, reason: str) -> None:
        """An earlier leader left it out."""
        self._devices.adopt(now, device, seconds, reason)

    @property
    def doubted(self) -> frozenset[bytes]:
        """The members whose breaks are not judged yet: no plan counts on them."""
        return self._breaks.waiting

    def left_out(self, now: float) -> Mapping[DeviceKey, Exclusion]:
        """The devices that plans leave out while others can serve."""
        return self._devices.left_out(now)

    def failed_plans(self, now: float) -> frozenset[Shape]:
        """Placements that are not tried again unchanged."""
        return frozenset(self._plans.left_out(now))

"""The reconciler's driver: from a Node to the view, and from an action to an input of that Node. Pure.

The driver holds what lasts between two decisions. Its owner runs the loop. The owner also performs what
concerns llama-server and the person's request (`OwnerAction`)::

    view = driver.view(now)
    decision = driver.decide(now, view)
    for action in decision.actions:
        ...                                  Start, Stop, Drain and ResolveMove are the owner's
        driver.perform(action)               all others
    wait(pause(now, decision))               or until something changed
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from leader.blame.breaks import Judgement, Standing
from leader.blame.ledger import Ledger
from leader.blame.quarantines import Exclusion
from leader.model.deployed_settings import settings_of
from leader.model.model_info import ModelInfo
from leader.placement.cost import DeviceKey
from leader.placement.planner import Plan
from leader.reconcile.decide import decide
from leader.reconcile.deployed_layers import layers_of
from leader.reconcile.member_views import member_view
from leader.reconcile.view import (
    Copying,
    Decision,
    HandOver,
    NodeAction,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    Running,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.protocol.base.effects import Effect
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Node
from mesh.wire.facts import Deployment, PoolState, Quarantine, Stage
from mesh.wire.identity import NodeId
from mesh.wire.signed_facts import MAX_QUARANTINE_REASON, MAX_QUARANTINES
from mesh.wire.states import Phase

LOOK: Final = 1.0  # seconds after which to decide again though nothing changed
SOONEST: Final = 0.01
LONGEST_REASON: Final = 180  # bytes of UTF-8
ELLIPSIS: Final = "..."
_STEPS: Final = ((10, 60.0), (60, 600.0), (300, math.inf))
"""The steps in which the seconds of a quarantine are told, each up to so many seconds."""

Input = Callable[[float], list[Effect]]
"""An input of the Node that lacks nothing but the time."""


class LocalState(Protocol):
    """What the owner knows beside the Node."""

    def running(self) -> Running | None:
        """What this node's engine does; None while there is nothing to stop."""

    def asked(self) -> str:
        """A person's request for the best placement, as in `View.asked`."""

    def model_info(self, root: bytes, projector: bytes = b"") -> ModelInfo | None:
        """The shape of the model with that hash, and the file beside it; None while one is not at hand."""

    def lost(self, root: bytes) -> str:
        """The name of a file of that model which this node held once and holds no more; empty for none."""

    def copying(self) -> Copying | None:
        """How far this node's copy of the wanted model is; None while it copies nothing."""


class LeaderDriver:
    """The reconciler of one node, whether that node leads or not."""

    def __init__(
        self,
        node: Node,
        do: Callable[[Input], None],
        local: LocalState,
        ledger: Ledger | None = None,
        on_judged: Callable[[Judgement], None] = lambda judged: None,
    ) -> None:
        """``do`` hands the Node an input with the present time, and performs the effects.

        ``ledger`` remembers what became of loads and runs; ``on_judged`` is told whose fault a break was.
        """
        self.memory = ReconcilerMemory()
        self.ledger = ledger or Ledger()
        self.reason = ""
        """Why the deployment is where it is, whole; the pool is told what fits a fact."""
        self._on_judged = on_judged
        self._heir_of: PoolState | None = None
        """The last state of the leader before this one."""
        self._led_in = 0
        """The term in which it led when it last looked; 0: it did not."""
        self._reclaimed_at = -math.inf
        """When it last reclaimed; seconds of the Node's clock."""
        self._has_led = False
        """Whether it ever did, in this run: then the ledger knows what it told itself."""
        self._node = node
        self._do = do
        self._local = local
        self._deployment = 0
        """The number of the last deployment that `decide` saw."""
        self._unreachable: dict[bytes, float] = {}
        """Until when each worker counts as not reachable; seconds of the Node's clock."""

    @property
    def leads(self) -> bool:
        """Whether this node leads its pool."""
        return self._leads_in > 0

    @property
    def _leads_in(self) -> int:
        """The term of the claim by which it leads; 0: it does not."""
        claim = self._node.leader()
        return claim.term if claim is not None and claim.author == self._node.id else 0

    def view(self, now: float) -> View:
        """What the reconciler decides on; ``now`` in seconds of the Node's clock, here as everywhere."""
        node, local = self._node, self._local
        deployment, leads = node.deployment(), self.leads
        self._look_back(now)
        if not leads or deployment is None:
            return View(node.id, leads, running=local.running(), asked=local.asked())
        self._deployment = deployment.number
        wanted = _wanted(deployment)
        model_info = local.model_info(*wanted.names)
        doubted = self.ledger.doubted
        members = [
            member_view(
                member,
                node.id,
                model_info,
                self._unreachable.get(member.id, 0.0) <= now and member.id not in doubted,
                self.ledger.service.has_served(member.id),
            )
            for member in node.members()
        ]
        return View(
            me=node.id,
            leading=True,
            wanted=wanted,
            model_info=model_info,
            members=tuple(members),
            leases=frozenset(node.leases(now)),
            running=local.running(),
            lost="" if model_info is not None else next(filter(None, map(local.lost, wanted.names)), ""),
            copying=local.copying(),
            asked=local.asked(),
            doubted=doubted,
            left_out=self.ledger.left_out(now),
            failed_plans=self.ledger.failed_plans(now),
        )

    def _look_back(self, now: float) -> None:
        """Note what became of what runs, and judge what broke a while ago."""
        node, ledger, running = self._node, self.ledger, self._local.running()
        state = node.pool_state()
        serves = state is not None and state.phase == Phase.READY
        ledger.service.see(
            now,
            (state.author, state.term, state.deployment, state.stages) if state and serves else None,
            [stage.member for stage in state.stages] if state and serves else (),
        )
        led_in, self._led_in = self._led_in, self._leads_in
        if not self._led_in:
            self._heir_of = state or self._heir_of
            if led_in:
                ledger.lost_leadership()
            return
        if not led_in:
            self._adopt(now)
        elif led_in != self._led_in:
            self._reclaimed_at = now
        self._has_led = True
        if running is not None and running.phase is Phase.READY:
            ledger.is_ready(now)
        elif running is not None and running.phase is Phase.FAILED:
            ledger.failed(now, running.reason)
        leases = node.leases(now)
        standing: dict[bytes, Standing] = {
            member.id: Standing(
                member.state is MemberState.ALIVE and member.id in leases,
                member.answered_at,
                member.doubted_at,
            )
            for member in node.members()
        }
        for judged in ledger.judge(now, standing, max(node.stood_still_at, self._reclaimed_at)):
            self._on_judged(judged)

    def _adopt(self, now: float) -> None:
        """What the leader before this one told, as this node heard it last.

        That may have been this node, before its program started anew.
        """
        told = self._heir_of
        own = None if self._has_led else self._node.own_state()
        if own is not None and (told is None or own.term > told.term):
            told = own
        for one in told.quarantines if told is not None else ():
            member = self._node.member(one.member)
            profile = member.record.profile if member is not None and member.record is not None else None
            names = [device.name for device in profile.devices] if profile is not None else []
            for name in [one.device] if one.device else names or [""]:
                self.ledger.adopt(now, (one.member, name), float(one.seconds), one.reason)

    def decide(self, now: float, view: View) -> Decision:
        """What to do at ``now``; the driver keeps the memory for the next decision."""
        decision = decide(now, view, self.memory)
        self.memory = decision.memory
        for action in decision.actions:
            match action:
                case Start(_, plan):
                    self.ledger.began(plan)
                case Stop():
                    self.ledger.ended()
        return decision

    def perform(self, action: NodeAction) -> None:
        """Make an action an input of the Node.

        Raises MeshError for a `HandOver` that the Node refuses: this node leads no more, or the other member
        may not lead.
        """
        node = self._node
        match action:
            case WantLeases(workers):
                wanted = _node_ids(workers)
                self._do(lambda now: node.want_leases(now, wanted))
            case ReleaseLeases(workers):
                released = _node_ids(workers)
                self._do(lambda now: node.release_leases(now, released))
            case Report():
                self._report(action)
            case HandOver(to):
                successor = NodeId(to)
                self._do(lambda now: node.hand_over(now, successor))

    def connection_lost(
        self,
        now: float,
        worker: bytes,
        until: float,
        reason: str,
        devices: Sequence[str] = (),
        cut: bool = False,
    ) -> None:
        """A tunnel to the worker broke or did not open: probe it, and do not use it before ``until``.

        ``devices``: those behind that tunnel by name, if not all that the plan uses of the worker. ``cut``:
        it was no word or end of the worker's, but silence or an error on the way.
        """
        node, lost = self._node, NodeId(worker)
        self._unreachable[lost] = until
        self.ledger.broke(now, worker, reason, devices, cut)
        self._do(lambda now: node.connection_reset(now, lost))

    def heard(self, worker: bytes, words: str, devices: Sequence[str] = ()) -> None:
        """A worker says that its rpc-server ended, the one of these devices, and why."""
        self.ledger.heard(worker, words, devices)

    def stood_still(self, now: float, worker: bytes, reason: str, devices: Sequence[str] = ()) -> None:
        """The worker's rpc-server took what llama-server sent, and does not answer."""
        node, lost = self._node, NodeId(worker)
        self.ledger.broke(now, worker, reason, devices)
        self._do(lambda now: node.connection_reset(now, lost))

    def refused_memory(self, now: float, worker: bytes, reason: str, devices: Sequence[str] = ()) -> None:
        """The worker's rpc-server answered itself that memory is not there which the plan counted on."""
        self.ledger.broke(now, worker, reason, devices)
        self.ledger.heard(worker, reason, devices)

    def _report(self, report: Report) -> None:
        node, number = self._node, self._deployment
        running = self._local.running()
        speed = 0.0 if running is None else running.plan.predicted_tokens_per_second
        told = () if running is None else stages(running.plan)
        self.reason = report.reason
        reason = cut(report.reason)
        self._do(
            lambda now: node.report(
                now, number, report.phase, report.progress, reason, speed, told, self._quarantines(now)
            )
        )

    def _quarantines(self, now: float) -> tuple[Quarantine, ...]:
        """The devices that plans leave out, those for the longest time first."""
        left_out = sorted(self.ledger.left_out(now).items(), key=lambda one: (-one[1].seconds, one[0]))
        return tuple(self._quarantine(*one) for one in left_out[:MAX_QUARANTINES])

    def _quarantine(self, device: DeviceKey, left_out: Exclusion) -> Quarantine:
        """As the pool is told it: a member with one device is left out whole."""
        id, name = device
        member = self._node.member(NodeId(id))
        profile = None if member is None or member.record is None else member.record.profile
        whole = profile is None or len(profile.devices) < 2
        reason = both_ends(left_out.reason, MAX_QUARANTINE_REASON)
        return Quarantine(NodeId(id), "" if whole else name, told_seconds(left_out.seconds), reason)


def told_seconds(seconds: float) -> int:
    """Rounded up, the more the longer it is: a state is signed anew when what it says has changed."""
    step = next(step for step, most in _STEPS if seconds <= most)
    return step * math.ceil(seconds / step)


def cut(reason: str, most: int = LONGEST_REASON) -> str:
    """A reason that is too long for a fact, which has room for so many bytes, cut behind a word."""
    if len(reason.encode()) <= most:
        return reason
    kept = reason.encode()[: most - len(ELLIPSIS)].decode(errors="ignore")
    return kept.rpartition(" ")[0].rstrip(" ,;:(") + ELLIPSIS if " " in kept else kept + ELLIPSIS


def both_ends(reason: str, most: int) -> str:
    """A reason that is too long without its middle: first stands how a program ended, last its own words."""
    if len(reason.encode()) <= most:
        return reason
    first = cut(reason, most // 2)
    last = reason.encode()[len(first.encode()) + 1 - most :].decode(errors="ignore")
    return f"{first} {last.partition(' ')[2] or last}"


def pause(now: float, decision: Decision) -> float:
    """Seconds to wait for a change before the next decision."""
    again = LOOK if decision.again_at is None else decision.again_at - now
    return max(SOONEST, min(LOOK, again))


def stages(plan: Plan) -> tuple[Stage, ...]:
    """The plan as the pool sees it; a device without layers and without the head has no part in it."""
    return tuple(
        [
            Stage(
                NodeId(one.device.member),
                *one.span,
                one.head,
                one.bytes,
                one.seconds * 1000,
                one.device.device,
            )
            for one in plan.stages
            if one.layers or one.head
        ]
    )


def _wanted(deployment: Deployment) -> Wanted:
    return Wanted(
        deployment.model.name,
        deployment.model.root,
        settings_of(deployment),
        deployment.running,
        layers_of(deployment),
        deployment.second,
    )


def _node_ids(workers: frozenset[bytes]) -> list[NodeId]:
    """In a fixed order, so that a simulation is repeatable."""
    return [NodeId(worker) for worker in sorted(workers)]

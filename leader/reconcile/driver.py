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

from collections.abc import Callable
from typing import Final, Protocol

from leader.model.deployed_settings import settings_of
from leader.model.model_info import ModelInfo
from leader.placement.planner import Plan
from leader.reconcile.decide import decide
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
    View,
    Wanted,
    WantLeases,
)
from mesh.protocol.base.effects import Effect
from mesh.protocol.node.node import Node
from mesh.wire.facts import Deployment, Stage
from mesh.wire.identity import NodeId

LOOK: Final = 1.0  # seconds after which to decide again though nothing changed
SOONEST: Final = 0.01
LONGEST_REASON: Final = 180  # bytes of UTF-8
ELLIPSIS: Final = "..."

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

    def __init__(self, node: Node, do: Callable[[Input], None], local: LocalState) -> None:
        """``do`` hands the Node an input with the present time, and performs the effects."""
        self.memory = ReconcilerMemory()
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
        claim = self._node.leader()
        return claim is not None and claim.author == self._node.id

    def view(self, now: float) -> View:
        """What the reconciler decides on; ``now`` in seconds of the Node's clock, here as everywhere."""
        node, local = self._node, self._local
        deployment, leads = node.deployment(), self.leads
        if not leads or deployment is None:
            return View(node.id, leads, running=local.running(), asked=local.asked())
        self._deployment = deployment.number
        wanted = _wanted(deployment)
        model_info = local.model_info(*wanted.names)
        members = [
            member_view(member, node.id, model_info, self._unreachable.get(member.id, 0.0) <= now)
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
        )

    def decide(self, now: float, view: View) -> Decision:
        """What to do at ``now``; the driver keeps the memory for the next decision."""
        decision = decide(now, view, self.memory)
        self.memory = decision.memory
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

    def connection_lost(self, worker: bytes, until: float) -> None:
        """A tunnel to the worker broke or did not open: probe it, and do not use it before ``until``."""
        node, lost = self._node, NodeId(worker)
        self._unreachable[lost] = until
        self._do(lambda now: node.connection_reset(now, lost))

    def _report(self, report: Report) -> None:
        node, number = self._node, self._deployment
        running = self._local.running()
        speed = 0.0 if running is None else running.plan.predicted_tokens_per_second
        told = () if running is None else stages(running.plan)
        reason = cut(report.reason)
        self._do(lambda now: node.report(now, number, report.phase, report.progress, reason, speed, told))


def cut(reason: str) -> str:
    """A reason that is too long for the leader's state, cut behind a word."""
    if len(reason.encode()) <= LONGEST_REASON:
        return reason
    kept = reason.encode()[: LONGEST_REASON - len(ELLIPSIS)].decode(errors="ignore")
    return kept.rpartition(" ")[0].rstrip(" ,;:(") + ELLIPSIS if " " in kept else kept + ELLIPSIS


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
        {bytes(member): count for member, count in deployment.layers},
        deployment.second,
    )


def _node_ids(workers: frozenset[bytes]) -> list[NodeId]:
    """In a fixed order, so that a simulation is repeatable."""
    return [NodeId(worker) for worker in sorted(workers)]

"""A fact changed the store: those whom it concerns hear of it, and it is spread."""

from __future__ import annotations

from typing import Any

from mesh.protocol.base.effects import DeploymentChanged, StateChanged
from mesh.protocol.node.persisted import ACTS
from mesh.protocol.node.views import Views
from mesh.protocol.node.wiring import Parts
from mesh.wire.facts import (
    Claim,
    Deployment,
    Eviction,
    Liveness,
    PoolState,
    Record,
    Resignation,
    Signed,
    Suspicion,
    Voucher,
)

_KEEP_WITHIN = 1.0
"""Acts are on the disk after so many seconds: many come at a time."""


class News:
    """Hands the new facts of one Node to its parts."""

    def __init__(self, parts: Parts, views: Views) -> None:
        self._parts = parts
        self._views = views

    def take(self, signed: Signed[Any]) -> None:
        """Let those who care know of this fact, and tell it on."""
        parts, context, fact = self._parts, self._parts.context, signed.fact
        if not isinstance(fact, Liveness | Suspicion):
            context.leadership_dirty = True
        if fact.author == context.id:
            parts.owner.met(signed)
        if isinstance(fact, Voucher | Eviction):
            context.members_changed = True
            context.schedule_by(ACTS, b"", context.now + _KEEP_WITHIN)
        elif isinstance(fact, Record):
            parts.membership.recorded(fact)
        elif isinstance(fact, Liveness) and fact.author == context.id:
            parts.membership.outlived(fact)
        elif isinstance(fact, Liveness):
            parts.membership.lives(fact.author, fact.generation, fact.incarnation, fact.stable)
        elif isinstance(fact, Suspicion):
            parts.membership.suspected(fact)
        elif isinstance(fact, Claim):
            parts.election.claimed(fact)
        elif isinstance(fact, Resignation):
            parts.election.resigned(fact)
        elif isinstance(fact, Deployment):
            self._deployed(signed)
        elif isinstance(fact, PoolState):
            self._stated(fact)
        parts.gossip.spread(signed)

    def _deployed(self, signed: Signed[Any]) -> None:
        if self._views.deployment() == signed.fact:
            self._parts.context.persist("deployment", signed.data)
            self._parts.context.tell(DeploymentChanged(signed.fact))

    def _stated(self, state: PoolState) -> None:
        self._parts.reports.stated(state)
        leader = self._views.leader()
        if leader is not None and (leader.author, leader.term) == (state.author, state.term):
            self._parts.context.tell(StateChanged(state))

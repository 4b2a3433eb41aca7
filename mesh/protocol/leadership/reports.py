"""A member's records of itself and a leader's states of the pool, signed at bounded rates."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import StateChanged
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.leadership.election import Election
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.membership.membership import Membership
from mesh.wire import codec
from mesh.wire.facts import PoolState, Quarantine, Record, Stage
from mesh.wire.profile import Profile, fitted
from mesh.wire.rank import is_notable
from mesh.wire.signed_facts import Signed
from mesh.wire.states import Phase
from mesh.wire.versions import NONCE_BYTES, marked

RECORD, STATE = "record", "state"
_RECORD_PERIOD = 0.5


class _Said(NamedTuple):
    """What a pool state says, beside who says it and when."""

    deployment: int
    phase: str
    progress: float
    reason: str
    tokens_per_second: float
    stages: tuple[Stage, ...]
    quarantines: tuple[Quarantine, ...]

    def says_more_than_closed_form(self) -> bool:
        """Whether version 2's form has no field for some of it."""
        return bool(self.quarantines) or any(stage.device for stage in self.stages)


class Reports:
    """Signs the records of one member, and the pool states that it publishes as a leader."""

    def __init__(
        self,
        context: Context,
        validator: FactValidator,
        membership: Membership,
        claims: Claims,
        leader_leases: LeaderLeases,
        election: Election,
    ) -> None:
        self._context = context
        self._validator = validator
        self._membership = membership
        self._claims = claims
        self._leader_leases = leader_leases
        self._election = election
        self._profile = Profile()
        self._next: Profile | None = None
        self._nonce = b""
        self._sequence = 0
        self._recorded_at = -math.inf
        self._state: PoolState | None = None
        self._said: _Said | None = None
        self._next_said: _Said | None = None
        self._unsigned = False
        self._lost: list[str] = []
        self._stated_at = -math.inf
        self.left = False

    # --- records

    def begin(self, profile: Profile, generation: int) -> None:
        """Sign the first record of this run."""
        self._profile = profile
        nonce = self._context.random.getrandbits(64).to_bytes(NONCE_BYTES, "big")
        self._nonce = marked(nonce, self._context.speaks)
        self.left = False
        self._begin_generation(generation)

    def advance_generation(self, generation: int) -> None:
        """A later trace of this node came in, for its state was rolled back: advance beyond it."""
        self._context.notice("warning", "this node's state was rolled back: advanced beyond its later trace")
        self._begin_generation(generation + 1)

    def _begin_generation(self, generation: int) -> None:
        self._context.persist("incarnation", codec.pack([generation]))
        self._membership.begin(generation, self._nonce)
        self._sequence = 0
        self._sign_record()

    def publish(self, profile: Profile) -> None:
        """Sign a changed profile now, or as soon as the last record is old enough."""
        old = self._profile
        if not is_notable(old.rank, profile.rank):
            profile = dataclasses.replace(profile, rank=old.rank)
        if not is_notable(old.memory_free, profile.memory_free):
            profile = dataclasses.replace(profile, memory_free=old.memory_free)
        self._election.rank = profile.rank
        self._election.reconsider()
        self._next = profile if profile != old or self._unsigned else None
        self._sign_soon()

    def sign_again(self) -> None:
        """The form of facts changed: sign the profile and the last state once more, as later versions."""
        self._unsigned = True
        self._next = self._next or self._profile
        self._sign_soon()
        mine, last, said = self._claims.mine, self._state, self._said
        if said is None or not said.says_more_than_closed_form():
            return
        if mine is not None and last is not None and last.term == mine.fact.term:
            self.restate(last.term)

    def _sign_soon(self) -> None:
        """Sign the profile that is waiting, if any, now or as soon as the last record is old enough."""
        if self._next is not None:
            at = max(self._context.now, self._recorded_at + _RECORD_PERIOD)
            if at <= self._context.now:
                self.record_due()
            else:
                self._context.schedule_by(RECORD, b"", at)

    def record_due(self) -> None:
        """Sign the profile that is waiting."""
        if self._next is not None and not self.left:
            self._profile, self._next = self._next, None
            self._sign_record()

    def leave(self) -> Signed[Record]:
        """Sign the last record, which says that this member left."""
        self.left = True
        return self._sign_record()

    def _sign_record(self) -> Signed[Record]:
        self._sequence += 1
        self._recorded_at = self._context.now
        self._unsigned = False
        profile, lost = fitted(self._profile, self._context.form)
        if lost and lost != self._lost:
            self._context.notice("warning", _without(lost))
        self._lost = lost
        return self._validator.publish(
            Record(
                self._context.pool,
                self._context.id,
                self._membership.generation,
                self._nonce,
                self._sequence,
                self.left,
                profile,
            )
        )

    # --- the pool's state

    def report(
        self,
        deployment: int,
        phase: Phase,
        progress: float,
        reason: str,
        speed: float,
        stages: tuple[Stage, ...],
        quarantines: tuple[Quarantine, ...] = (),
    ) -> None:
        """Publish the leader's state of the deployment; a change waits until the last state is old enough."""
        mine = self._claims.mine
        self._leader_leases.place(frozenset(stage.member for stage in stages))
        if mine is None:
            return
        reason = reason.encode()[:200].decode(errors="ignore")
        said = _Said(deployment, phase.value, float(progress), reason, float(speed), stages, quarantines)
        self._next_said = said
        settings = self._context.settings
        last = self._said
        if last is not None and self._state is not None and self._state.term == mine.fact.term:
            if said == last:
                self._next_said = None
                return
            wait = settings.state_period
            if (last.deployment, last.phase) != (deployment, phase):
                wait = settings.state_burst
            if self._context.now < self._stated_at + wait:
                self._context.schedule_by(STATE, b"", self._stated_at + wait)
                return
        self.state_due()

    def restate(self, term: int) -> None:
        """This leader reclaimed: sign its state of that former term again, so that none is missing."""
        if self._state is not None and self._state.term == term and self._next_said is None:
            self._next_said = self._said
        self.state_due()

    def state_due(self) -> None:
        """Sign the state that is waiting."""
        mine, waiting = self._claims.mine, self._next_said
        self._next_said = None
        if mine is None or waiting is None:
            return
        last = self._state
        term = mine.fact.term
        sequence = last.sequence + 1 if last is not None and last.term == term else 1
        self._stated_at = self._context.now
        state = PoolState(self._context.pool, self._context.id, term, sequence, **waiting._asdict())
        signed = self._context.sign(state)
        self._said, self._state = waiting, signed.fact
        self._validator.take(signed)

    def stated(self, state: PoolState) -> None:
        """A pool state was stored; an own one that this run did not sign is from before a state rollback."""
        if state.author == self._context.id and state != self._state:
            self._election.advance_term(state.term)
        leader = self._claims.leader()
        if leader is not None and (leader.fact.author, leader.fact.term) == (state.author, state.term):
            self._context.tell(StateChanged(state))


def _without(lost: list[str]) -> str:
    """What the others do not see of this machine, and what to do about that."""
    shown = f"this machine's record has no room for {'; '.join(lost)}: the others do not see that"
    if any(what.startswith("models: ") for what in lost):
        return f"{shown}; a model that is served is always told. To hold fewer: mesh models --prune"
    return f"{shown}; nothing needs to be done"

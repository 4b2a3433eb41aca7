"""A bully election with terms and a pre-vote.

Among the live members with the right to lead the best rank wins (Garcia-Molina, "Elections in a Distributed
Computing System", 1982); equal views give equal winners. A candidate asks the others before it claims (the
pre-vote of Ongaro's thesis, 9.6): a member that still hears a leader votes no. There is no quorum: a part of
the pool that is cut off elects a leader of its own, and the workers' leases fence what must not be shared.
"""

from __future__ import annotations

import math
from enum import StrEnum

from mesh.protocol.base.context import Context
from mesh.protocol.base.internal_events import Reclaimed
from mesh.protocol.base.transitions import StateMachine
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.limits.term_limit import TermLimit
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.trust.roster import Roster
from mesh.wire import codec
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import NOBODY, Claim, Resignation
from mesh.wire.identity import NodeId
from mesh.wire.messages import Vote, VoteRequest
from mesh.wire.rank import Rank
from mesh.wire.signed_facts import Signed

CAMPAIGN, VOTES = "campaign", "votes"


class Role(StrEnum):
    """The role of a member in an election."""

    OUTSIDE = "outside"
    WAITING = "waiting"
    CANDIDATE = "candidate"
    LEADER = "leader"
    FOLLOWER = "follower"


class RoleEvent(StrEnum):
    """The event that changes a role."""

    STARTED = "starts"
    HEARD = "hears a leader"
    LOST = "hears no leader any more"
    DELAY_ELAPSED = "election delay elapsed"
    WON = "wins the vote"
    REFUSED = "loses the vote, or hears no answer"
    NAMED = "is named successor"
    RECLAIMED = "reclaims in a higher term"
    YIELDED = "steps down"
    PAUSED = "its process was paused"
    STOPPED = "leaves, or is evicted"
    """A leader takes YIELDED first."""


ROLES: dict[tuple[Role, RoleEvent], Role] = {
    (Role.OUTSIDE, RoleEvent.STARTED): Role.WAITING,
    (Role.WAITING, RoleEvent.HEARD): Role.FOLLOWER,
    (Role.CANDIDATE, RoleEvent.HEARD): Role.FOLLOWER,
    (Role.FOLLOWER, RoleEvent.LOST): Role.WAITING,
    (Role.WAITING, RoleEvent.DELAY_ELAPSED): Role.CANDIDATE,
    (Role.CANDIDATE, RoleEvent.WON): Role.LEADER,
    (Role.CANDIDATE, RoleEvent.REFUSED): Role.WAITING,
    (Role.WAITING, RoleEvent.NAMED): Role.LEADER,
    (Role.CANDIDATE, RoleEvent.NAMED): Role.LEADER,
    (Role.FOLLOWER, RoleEvent.NAMED): Role.LEADER,
    (Role.LEADER, RoleEvent.RECLAIMED): Role.LEADER,
    (Role.LEADER, RoleEvent.YIELDED): Role.WAITING,
    (Role.WAITING, RoleEvent.PAUSED): Role.WAITING,
    (Role.CANDIDATE, RoleEvent.PAUSED): Role.WAITING,
    (Role.LEADER, RoleEvent.PAUSED): Role.LEADER,
    (Role.FOLLOWER, RoleEvent.PAUSED): Role.FOLLOWER,
    (Role.OUTSIDE, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.WAITING, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.CANDIDATE, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.FOLLOWER, RoleEvent.STOPPED): Role.OUTSIDE,
}


class Election:
    """One member's view of the leadership and its own part in it."""

    def __init__(
        self,
        context: Context,
        roster: Roster,
        store: FactStore,
        terms: TermLimit,
        validator: FactValidator,
        membership: Membership,
        claims: Claims,
        worker_lease: WorkerLease,
        leader_leases: LeaderLeases,
    ) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._terms = terms
        self._validator = validator
        self._membership = membership
        self._claims = claims
        self._worker_lease = worker_lease
        self._leader_leases = leader_leases
        self.rank = 0
        self._state_machine = StateMachine(ROLES, Role.OUTSIDE)
        self._campaign_term: int | None = None
        self._asked: set[NodeId] = set()
        self._yes: set[NodeId] = set()
        self._no: set[NodeId] = set()
        self._vacant_since = -math.inf
        self._retry_at = -math.inf
        self._refusals = 0
        self._last_claim = -math.inf
        self._claiming = False
        self._superseded_at = math.inf
        """When this leader first saw that a higher claim exists, by which no member leads."""
        self._reconsider = True

    # --- views

    @property
    def role(self) -> Role:
        return self._state_machine.state

    @property
    def voters(self) -> frozenset[NodeId]:
        """The members that this node asked for a vote in its last campaign."""
        return frozenset(self._asked)

    def ranking(self) -> list[NodeId]:
        """The members that may and would lead (rank 0: not), best first: the successor, then by rank, id."""
        candidates: list[tuple[bool, int, NodeId]] = []
        successor = self._successor()
        if self.rank and self._membership.flap_detector.stable and self._context.id in self._roster.leaders:
            candidates.append((successor == self._context.id, self.rank, self._context.id))
        candidates += [
            (successor == peer.id, peer.record.profile.rank, peer.id)
            for peer in self._membership.peers.values()
            if peer.state is MemberState.ALIVE
            and peer.record
            and peer.record.profile.rank
            and peer.id in self._roster.leaders
        ]
        return [id for _, _, id in sorted(candidates, reverse=True)]

    def _successor(self) -> NodeId:
        """The successor that the last leader named; of several leaders of one term, the highest's."""
        named: tuple[tuple[int, int, bytes], NodeId] | None = None
        for signed in self._store.all(Resignation):
            resignation: Resignation = signed.fact
            claim = self._store.get(Claim, resignation.author)
            if resignation.term != self._terms.highest or resignation.successor == NOBODY or claim is None:
                continue
            order = claim.fact.order
            if order[0] == resignation.term and (named is None or order > named[0]):
                named = (order, resignation.successor)
        return NOBODY if named is None else named[1]

    # --- the course of an election

    def start(self) -> None:
        """Listen for a while before a campaign; a pool's only member waits for no other."""
        self._state_machine.on(RoleEvent.STARTED)
        settings = self._context.settings
        alone = len(self._roster.members) == 1
        self._terms.settled_at = self._context.now + (
            settings.startup_delay_heard if alone else settings.startup_delay
        )
        self._vacant_since = self._context.now
        self._context.schedule_by(CAMPAIGN, b"", self._terms.settled_at)

    def stop(self) -> None:
        """Take no further part."""
        self._terms.settled_at = math.inf
        self._context.cancel(CAMPAIGN, b"")
        self._context.cancel(VOTES, b"")
        self._campaign_term = None
        self.step_down()
        self._state_machine.on(RoleEvent.STOPPED)

    def stalled(self) -> None:
        """This process was paused: its intentions rest on an old view, so listen anew."""
        self._campaign_term = None
        self._superseded_at = math.inf
        self._context.cancel(VOTES, b"")
        if self.role is not Role.OUTSIDE:
            self._state_machine.on(RoleEvent.PAUSED)
            self._terms.settled_at = self._context.now + self._context.settings.election_delay
            self._context.schedule(CAMPAIGN, b"", self._terms.settled_at)

    def depose(self) -> None:
        """This node is out of the pool: take no further part, and sign nothing, for its word is void."""
        self._give_up()
        self.stop()

    def advance_term(self, term: int) -> None:
        """This node led in that term before a state rollback: raise the term, and reclaim if need be."""
        self._terms.raise_to(term)
        if self._claims.mine is not None and self._claims.mine.fact.term <= term:
            self._claim(RoleEvent.RECLAIMED)

    def claimed(self, claim: Claim) -> None:
        """A claim was stored."""
        self._terms.raise_to(claim.term)
        given_up = self._claims.resignation(claim)
        if given_up is not None:  # the resignation overtook its claim: only now its successor counts
            self.resigned(given_up.fact)
        if claim.author == self._context.id and not self._claiming:
            self._repudiate(claim)

    def _repudiate(self, claim: Claim) -> None:
        """Resign from a claim of a former run that this run did not make: no process leads by it."""
        mine = self._claims.mine
        if self._claims.resignation(claim) is None and (mine is None or mine.fact.term < claim.term):
            self._give_up()
            self._validator.publish(Resignation(self._context.pool, self._context.id, claim.term, NOBODY))

    def resigned(self, resignation: Resignation) -> None:
        """A leader resigned; its named successor claims at once."""
        if resignation.author == self._context.id:
            self._own_resignation_stored(resignation.term)
        is_successor = resignation.successor == self._context.id == self._successor()
        willing = self.rank > 0 and self._claims.may_lead(self._context.id)
        vacant = self._claims.mine is None and self._claims.leader() is None
        if is_successor and willing and vacant and self.role is not Role.OUTSIDE:
            self._claim(RoleEvent.NAMED)

    def _own_resignation_stored(self, term: int) -> None:
        """An own resignation, perhaps from before a state rollback: it ends all claims up to its term."""
        self.advance_term(term)
        self._leader_leases.invalidate(term)  # grants of up to that term bind the workers no longer

    def review(self) -> None:
        """Yield, reclaim, follow, or await a turn to campaign; called after each input that may matter."""
        leader = self._claims.leader()
        if self._claims.mine is not None:
            if not self._membership.flap_detector.stable:
                self.step_down()
            elif leader is not None and leader.fact.author != self._context.id:
                self._face_higher_claim(leader.fact)
            elif self._is_lost(self._claims.mine):
                self._claim(RoleEvent.RECLAIMED)
            elif self._is_behind(self._claims.mine.fact):
                self._superseded()
            return
        if self.role is Role.OUTSIDE:
            return
        if leader is not None:
            if self.role is not Role.FOLLOWER:
                self._state_machine.on(RoleEvent.HEARD)
            self._vacant_since = -math.inf
            self._refusals = 0
            self._context.cancel(CAMPAIGN, b"")
            self._context.cancel(VOTES, b"")
            self._campaign_term = None
            return
        if self.role is Role.FOLLOWER:
            self._state_machine.on(RoleEvent.LOST)
        if self.role is Role.CANDIDATE:
            return
        if self._vacant_since == -math.inf:
            self._vacant_since = self._context.now
        settled_at = self._context.now + self._context.settings.startup_delay_heard
        if self._membership.heard_any and settled_at < self._terms.settled_at:
            self._terms.settled_at = settled_at
            self._reconsider = True
        if self._reconsider or not self._context.is_scheduled(CAMPAIGN, b""):
            self._reconsider = False
            turn = self._campaign_at()
            if turn is not None:
                self._context.schedule_by(CAMPAIGN, b"", turn)

    def reconsider(self) -> None:
        """This node's turn to campaign may come earlier: look again. (The timer notices a later one.)"""
        self._reconsider = self._context.leadership_dirty = True

    def _campaign_at(self) -> float | None:
        """When this node campaigns (seconds), one election delay after each better rank; None: never."""
        ranking = self.ranking()
        if self._context.id not in ranking:
            return None
        patience = ranking.index(self._context.id) * self._context.settings.election_delay
        return max(self._context.now, self._terms.settled_at, self._vacant_since + patience, self._retry_at)

    def _face_higher_claim(self, higher: Claim) -> None:
        """Another member's claim is higher: yield, unless this leader is so much better that it reclaims.

        A leader that serves is better than one that does not, a member that was cut off, say.
        """
        if self._weight().is_better(Rank.from_wire(higher.rank), self._context.settings.better):
            self._context.notice("info", "leading on against a higher claim of a lower rank")
            self._claim(RoleEvent.RECLAIMED)
        else:
            self.step_down()

    def _weight(self) -> Rank:
        """The rank that this node puts into a claim."""
        rank = Rank.from_wire(self.rank)
        return rank._replace(serves=1) if self._leader_leases.serves() else rank

    def _is_lost(self, mine: Signed[Claim]) -> bool:
        """Whether this leader's claim is not in the store, so that no member can follow it.

        Claims of so many others are higher, though none of them leads; or after a state rollback this node
        claimed a term for the second time, with another rank.
        """
        held = self._store.get(Claim, self._context.id)
        return held is None or held.data != mine.data

    def _is_behind(self, mine: Claim) -> bool:
        """Whether a higher claim is known: of a later term, or of the same term and a better rank."""
        if mine.term < self._terms.highest:
            return True
        return any(signed.fact.order > mine.order for signed in self._store.all(Claim))

    def _superseded(self) -> None:
        """A higher claim exists, though no member leads by it: workers bound by it grant only higher ones.

        So this leader reclaims now, and not in the middle of a move that needs such a worker. It waits one
        election delay first, for the claim may have come before its author was heard.
        """
        now, patience = self._context.now, self._context.settings.election_delay
        if self._superseded_at == math.inf:
            self._superseded_at = now
            self._context.schedule_by(CAMPAIGN, b"", now + patience)
        elif now >= self._superseded_at + patience:
            self._claim(RoleEvent.RECLAIMED)

    def campaign(self) -> None:
        """This node's turn has come: ask the others whether they still hear a leader."""
        turn = self._campaign_at()
        if self.role is not Role.WAITING or self._claims.leader() is not None or turn is None:
            return
        if turn > self._context.now:
            self._context.schedule(CAMPAIGN, b"", turn)
            return
        self._state_machine.on(RoleEvent.DELAY_ELAPSED)
        self._campaign_term = self._terms.highest + 1
        self._yes, self._no = set(), set()
        self._asked = set()
        holder = self._worker_lease.bound_to_another(self._context.id)
        if holder is not None:
            self._no.add(self._context.id)
        else:
            self._yes.add(self._context.id)
        for peer in self._membership.peers.values():
            if peer.present and peer.endpoint is not None:
                self._asked.add(peer.id)
                self._context.send(peer.id, peer.endpoint, VoteRequest(self._campaign_term))
        self._context.schedule(VOTES, b"", self._context.now + self._context.settings.vote_timeout)
        self._count()

    def asked(self, sender: NodeId, source: Endpoint, request: VoteRequest) -> None:
        """A candidate asks: vote no while a leader is heard or this worker is bound to one."""
        binding = self._claims.leader()
        if binding is None or binding.fact.author == sender:
            binding = self._worker_lease.bound_to_another(sender)
        if binding is not None and binding.fact.author != sender:
            self._context.send(sender, source, Vote(request.term, False, binding.data))
            return
        known = max(self._store.all(Claim), key=lambda signed: signed.fact.order, default=None)
        ahead = known.data if known is not None and known.fact.term >= request.term else b""
        self._context.send(sender, source, Vote(request.term, True, ahead))

    def voted(self, sender: NodeId, vote: Vote) -> None:
        """A vote came; learn the claim that comes with it in any case."""
        if vote.claim:
            self._validator.absorb(vote.claim)
        if self._campaign_term != vote.term or sender not in self._asked:
            return
        (self._yes if vote.yes else self._no).add(sender)
        self._count()

    def _count(self) -> None:
        outstanding = len(self._asked - self._yes - self._no)
        if outstanding == 0 or len(self._yes) > len(self._no) + outstanding:
            self._decide()

    def votes_are_in(self) -> None:
        """The time to vote is over: members that did not answer do not count."""
        if self._campaign_term is not None:
            self._decide()

    def _decide(self) -> None:
        self._campaign_term = None
        self._context.cancel(VOTES, b"")
        if len(self._yes) > len(self._no) and self._claims.leader() is None:
            self._claim(RoleEvent.WON)
        else:
            self._state_machine.on(RoleEvent.REFUSED)
            wait = self._context.settings.vote_timeout * (0.5 + self._context.random.random())
            wait *= 2 ** min(self._refusals, 3)
            self._refusals += 1
            self._retry_at = self._context.now + wait
            self._context.schedule(CAMPAIGN, b"", self._retry_at)

    def _claim(self, turn: RoleEvent) -> None:
        """Claim the next term; the term is on the disk before any member hears of it."""
        self._state_machine.on(turn)
        former, term = self._claims.mine, self._terms.highest + 1
        self._terms.raise_to(term)
        self._context.persist("claimed", codec.pack([term]))
        self._last_claim = self._context.now
        self._vacant_since = -math.inf
        self._superseded_at = math.inf
        self._campaign_term = None
        self._context.cancel(CAMPAIGN, b"")
        self._claiming = True
        self._claims.mine = self._validator.publish(
            Claim(self._context.pool, self._context.id, term, self._weight().to_wire())
        )
        self._claiming = False
        if turn is RoleEvent.RECLAIMED and former is not None:
            self._context.emit(Reclaimed(former.fact.term))

    def outranked(self) -> None:
        """A worker named a higher claim whose author is gone: only a higher term gets its lease."""
        if (
            self._claims.mine is not None
            and self._is_behind(self._claims.mine.fact)
            and self._context.now - self._last_claim > self._context.settings.vote_timeout
        ):
            leader = self._claims.leader()
            if leader is not None and leader.fact.author == self._context.id:
                self._claim(RoleEvent.RECLAIMED)

    def _give_up(self) -> None:
        if self._claims.mine is not None:
            self._claims.mine = None
            self._superseded_at = math.inf
            self._state_machine.on(RoleEvent.YIELDED)

    def step_down(self, successor: NodeId = NOBODY) -> Signed[Resignation] | None:
        """Resign from this node's claim, which ends every lease under it; None when there is no claim."""
        if self._claims.mine is None:
            return None
        term = self._claims.mine.fact.term
        self._give_up()
        return self._validator.publish(Resignation(self._context.pool, self._context.id, term, successor))

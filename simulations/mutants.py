"""The protocol broken on purpose, in one place at a time: some seed must fail for each mutant.

A checker that catches none of these is no checker. Each mutant replaces attributes of the product's (or
the llama-server model's) classes while it is applied, and puts them back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from leader.blame import breaks
from leader.blame.breaks import Breaks
from mesh.protocol.base.context import Context
from mesh.protocol.dissemination.gossip import Gossip
from mesh.protocol.dissemination.reaping import Reaper
from mesh.protocol.facts import pending, store
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.leadership.claims import Claims
from mesh.protocol.leadership.election import Election, Role, RoleEvent
from mesh.protocol.leadership.leader_leases import LeaderLeases
from mesh.protocol.leadership.reports import Reports
from mesh.protocol.leadership.worker_lease import WorkerLease
from mesh.protocol.limits.replays import Replays
from mesh.protocol.limits.term_limit import TermLimit
from mesh.protocol.membership.form_choice import FormChoice
from mesh.protocol.membership.membership import Membership
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.authentication import Authentication
from mesh.protocol.node.expulsion import Expulsion
from mesh.wire import signed_facts
from mesh.wire.facts import NOBODY, Eviction
from mesh.wire.identity import SIGNATURE_BYTES
from mesh.wire.signed_facts import GROWING_FORM
from simulations.engines import LlamaServer
from worker.fence import Fence

Patch = tuple[Any, str, Any]
"""The owner of an attribute, its name, and its replacement."""


def _nothing(*arguments: Any, **named: Any) -> None:
    return None


def _not_stored(*keys: str) -> Callable[[], list[Patch]]:
    def patches() -> list[Patch]:
        persist = Context.persist

        def forgetful(context: Context, key: str, value: bytes) -> None:
            if key not in keys:
                persist(context, key, value)

        return [(Context, "persist", forgetful)]

    return patches


def _no_pre_vote() -> list[Patch]:
    def campaign(election: Any) -> None:
        if (
            election.role is Role.WAITING
            and election._claims.leader() is None
            and election._campaign_at() is not None
        ):
            election._state_machine.on(RoleEvent.DELAY_ELAPSED)
            election._claim(RoleEvent.WON)

    return [(Election, "campaign", campaign)]


def _every_vote_is_yes() -> list[Patch]:
    """It asks for votes, but a no counts as a yes."""

    def voted(election: Any, sender: Any, vote: Any) -> None:
        original(election, sender, dataclasses.replace(vote, yes=True, claim=b""))

    original = Election.voted
    return [(Election, "voted", voted)]


def _ties_win() -> list[Patch]:
    def decide(election: Any) -> None:
        if len(election._yes) == len(election._no):
            election._yes.add(NOBODY)
        original(election)

    original = Election._decide
    return [(Election, "_decide", decide)]


def _older_is_newer() -> list[Patch]:
    def would_change(facts: Any, signed: Any) -> bool:
        held = facts._entries.get(store.entry_of(signed).key)
        return held is None or held.signed.data != signed.data

    return [
        (FactStore, "would_change", would_change),
        (store, "prevails", lambda version, mark, over, held: (version, mark) != (over, held)),
    ]


def _first_come() -> list[Patch]:
    """Of two facts of one version the first stays: hosts that hear them in another order hold another."""
    return [(store, "prevails", lambda version, mark, over, held: version > over)]


def _lease_from_the_answer() -> list[Patch]:
    def granted(leader_leases: Any, sender: Any, grant: Any) -> None:
        lease, context = leader_leases._wanted.get(sender), leader_leases._context
        if lease is not None and grant.number in lease.asked:
            later = context.now + context.settings.drift * context.settings.lease
            lease.asked[grant.number] = (later, lease.asked[grant.number][1])
        original(leader_leases, sender, grant)

    original = LeaderLeases.granted
    return [(LeaderLeases, "granted", granted)]


def _no_margin() -> list[Patch]:
    """A leader counts its lease without a margin, though the worker counts it by another clock."""

    def granted(leader_leases: Any, sender: Any, grant: Any) -> None:
        context = leader_leases._context
        settings = context.settings
        context.settings = dataclasses.replace(settings, drift=0.0)
        original(leader_leases, sender, grant)
        context.settings = settings

    original = LeaderLeases.granted
    return [(LeaderLeases, "granted", granted)]


def _first_evicted() -> list[Patch]:
    """Of owners that evict each other, the one stands whose eviction is heard first."""

    def consider(validator: Any, signed: Any, source: Any) -> Any:
        gone = isinstance(signed.fact, Eviction) and signed.fact.author in validator._roster.evicted
        return True if gone else original(validator, signed, source)

    original = FactValidator._consider_act
    return [(FactValidator, "_consider_act", consider)]


def _ignored_evictions() -> list[Patch]:
    def consider(validator: Any, signed: Any, source: Any) -> Any:
        return True if isinstance(signed.fact, Eviction) else original(validator, signed, source)

    original = FactValidator._consider_act
    return [(FactValidator, "_consider_act", consider)]


def _no_floor() -> list[Patch]:
    """The reaper forgets a member that is gone for long wholly, its facts too."""

    def forget(reaper: Any, peer: Any) -> None:
        original(reaper, peer)
        reaper._membership._store.forget(peer.id)

    original = Reaper._forget
    return [(Reaper, "_forget", forget)]


def _unchecked_signatures() -> list[Patch]:
    def __init__(context: Any, settings: Any, signer: Any, verifier: Any, *rest: Any) -> None:
        original(context, settings, signer, lambda key, message, signature: True, *rest)

    original = Context.__init__
    return [(Context, "__init__", __init__)]


def _any_liveness() -> list[Patch]:
    def suspected(membership: Any, suspicion: Any) -> None:
        peer = membership.peers.get(suspicion.subject)
        if peer is not None:
            now = {"generation": peer.generation, "incarnation": peer.incarnation}
            suspicion = dataclasses.replace(suspicion, **now)
        original(membership, suspicion)

    original = Membership.suspected
    return [(Membership, "suspected", suspected), (FactStore, "_may_suspect", lambda *arguments: True)]


def _one_word_kills() -> list[Patch]:
    def suspected(membership: Any, suspicion: Any) -> None:
        original(membership, suspicion)
        peer = membership.peers.get(suspicion.subject)
        if peer is not None and peer.state is MemberState.SUSPECT:
            membership._set_state(peer, MemberState.DEAD)

    original = Membership.suspected
    return [(Membership, "suspected", suspected)]


def _one_suspector() -> list[Patch]:
    """At the end of a suspicion the word of a single other member counts like that of two."""

    def ends(membership: Any, id: Any) -> None:
        peer = membership.peers.get(id)
        if peer is not None and peer.final_probed:
            peer.suspectors.add(NOBODY)
        original(membership, id)

    original = Membership.suspicion_ends
    return [(Membership, "suspicion_ends", ends)]


def _unnoticed_pauses() -> list[Patch]:
    def __init__(context: Any, settings: Any, *rest: Any) -> None:
        original(context, dataclasses.replace(settings, stall=1e9), *rest)

    original = Context.__init__
    return [(Context, "__init__", __init__)]


def _no_yielding() -> list[Patch]:
    def leader(claims: Any) -> Any:
        return claims.mine if claims.mine is not None else original(claims)

    original = Claims.leader
    return [(Election, "_face_higher_claim", _nothing), (Claims, "leader", leader)]


def _lower_claims_are_granted() -> list[Patch]:
    def request(worker_lease: Any, sender: Any, message: Any) -> Any:
        worker_lease._grant = None
        return original(worker_lease, sender, message)

    original = WorkerLease.request
    return [(WorkerLease, "request", request)]


def _signed_twice() -> list[Patch]:
    """Where the form changes, a member signs its record in the other one too, under the same number."""

    def sign_again(reports: Any) -> None:
        reports._sequence -= 1
        original(reports)

    original = Reports.sign_again
    return [(Reports, "sign_again", sign_again)]


def _form_by_hearsay() -> list[Patch]:
    """A datagram tells that its sender was upgraded, before it is proven who sent it."""

    def refusal(authentication: Any, envelope: Any, source: Any) -> Any:
        context, sender = authentication._context, envelope.sender
        if sender in authentication._membership.peers:
            told = context.__dict__.setdefault("told", {})
            told[sender] = max(told.get(sender, 0), envelope.version)
            context.members_changed = True
        return original(authentication, envelope, source)

    def choice(form_choice: Any) -> int:
        context, peers = form_choice._context, form_choice._membership.peers.values()
        told = context.__dict__.get("told", {})
        spoken = [max(p.record.speaks.newest, told.get(p.id, 0)) for p in peers if p.present and p.record]
        chosen: int = max(context.speaks.oldest, min([*spoken, context.speaks.newest]))
        return chosen

    original = Authentication.refusal
    return [(Authentication, "refusal", refusal), (FormChoice, "_choice", choice)]


def _lost_fields() -> list[Patch]:
    """A member writes others' facts anew before it passes them on, and leaves out what it does not know."""

    def send_bodies(context: Any, to: Any, endpoint: Any, facts: Any) -> None:
        original(context, to, endpoint, [rewritten(context, data) for data in facts])

    def rewritten(context: Any, data: bytes) -> bytes:
        fact = context.read(data).fact
        if fact.author == context.id or not fact.unknown:
            return data
        known = dataclasses.replace(fact, unknown=b"")
        return signed_facts._body(known, GROWING_FORM) + data[-SIGNATURE_BYTES:]

    original = Context.send_bodies
    return [(Context, "send_bodies", send_bodies)]


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    "no pre-vote": _no_pre_vote,
    "a no counts as a yes": _every_vote_is_yes,
    "a tie wins a vote": _ties_win,
    "terms are not stored": _not_stored("term", "claimed"),
    "grants are not stored": _not_stored("grant"),
    "generations are not stored": _not_stored("incarnation"),
    "the gate ignores the fence": lambda: [(Fence, "admits", lambda fence, author, term: True)],
    "a gate cuts no stream": lambda: [(Fence, "_cut", lambda fence: [])],
    "a bound worker grants its lease": lambda: [
        (WorkerLease, "_still_binds", lambda worker_lease, grant: False)
    ],
    "a worker grants its lease to lower claims": _lower_claims_are_granted,
    "a restarted worker grants its lease at once": lambda: [(WorkerLease, "restore", _nothing)],
    "leases count from the answer": _lease_from_the_answer,
    "no margin for the drift of clocks": _no_margin,
    "higher claims are ignored": _no_yielding,
    "no member refutes": lambda: [(Membership, "_refute", _nothing)],
    "suspicions of any liveness count": _any_liveness,
    "a suspected member is dead at once": _one_word_kills,
    "one suspector suffices": _one_suspector,
    "pauses go unnoticed": _unnoticed_pauses,
    "older facts replace newer ones": _older_is_newer,
    "of two equivocating facts the first stays": _first_come,
    "signatures are not checked": _unchecked_signatures,
    "rights are not checked": lambda: [
        (FactValidator, "allows", lambda validator, signed: True),
        (FactValidator, "_has_lost_the_right", lambda validator, fact: False),
    ],
    "evictions are ignored by all but their author": _ignored_evictions,
    "facts of evicted members stay": lambda: [(Expulsion, "enforce", _nothing)],
    "evictions by evicted owners are void": _first_evicted,
    "each worker that lost a tunnel is blamed": lambda: [
        (Breaks, "_guilty", lambda breaks, tunnel, standing, unsettled_at: True)
    ],
    "a doubt excuses nobody": lambda: [(breaks, "DOUBTED", -math.inf)],
    "running answers are ignored": lambda: [(LlamaServer, "answers", 0)],
    "a forgotten member leaves no floor": _no_floor,
    "pending facts have no bound": lambda: [
        (pending, "MAX_WAITING", 2**40),
        (pending, "MAX_OF_A_SOURCE", 2**40),
    ],
    "replays are accepted": lambda: [
        (Replays, "is_new", lambda replays, envelope, generation: True),
        (Replays, "mark", _nothing),
    ],
    "terms leap without limit": lambda: [(TermLimit, "admits", lambda limit, term, source: True)],
    "a member does not advance beyond its later trace": lambda: [(Reports, "advance_generation", _nothing)],
    "a fact is signed twice in two forms": _signed_twice,
    "a node's words are not stored": _not_stored("said"),
    "a form is chosen by a liar's word": _form_by_hearsay,
    "a field is lost in passing on": _lost_fields,
    "the older form is never left": lambda: [(FormChoice, "due", _nothing)],
    "the newer form is used while an older member is present": lambda: [
        (FormChoice, "_choice", lambda choice: choice._context.speaks.newest)
    ],
    "members of version 2 get what they cannot read": lambda: [
        (Gossip, "_readable", lambda gossip, to, entries: entries)
    ],
}


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Apply that mutant to the protocol within the block."""
    patches = MUTANTS[name]()
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    for owner, attribute, mutant in patches:
        setattr(owner, attribute, mutant)
    try:
        yield
    finally:
        for owner, attribute, original in before:
            setattr(owner, attribute, original)

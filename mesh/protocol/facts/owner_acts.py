"""What an owner does: vouching and evicting, as a numbered chain of acts, and deploying."""

from __future__ import annotations

from typing import Any

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import DeploymentChanged
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.trust.roster import MAX_CHAIN, Roster
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import HASH_BYTES, NO_PREVIOUS, Deployment, Eviction, Model, Signed, Voucher, sign
from mesh.wire.identity import KEY_BYTES, NodeId, id_text, node_id
from mesh.wire.rights import ALL_RIGHTS, Rights

_MAX_LEAP = 2**20
"""Nobody changes its mind so often: who is this far ahead in the count of deployments does it to end it."""
_ACT = codec.paired(codec.COUNT, codec.fixed(HASH_BYTES))


class Owner:
    """The acts of one member; each is on the disk as the chain's head before it is told."""

    def __init__(self, context: Context, roster: Roster, store: FactStore, validator: FactValidator) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self._number = 0
        self._previous = NO_PREVIOUS

    def restore(self, stored: bytes | None) -> None:
        """Go on with the chain of a former run; MeshError when it is damaged."""
        if stored is not None:
            try:
                self._number, self._previous = _ACT.load(codec.unpack(stored, 64))
            except DecodeError:
                raise MeshError("The stored chain of this owner's acts is damaged") from None

    def found(self) -> Signed[Voucher]:
        """The founder vouches for itself."""
        key = self._context.signer.public_key
        return self._act(Voucher(self._context.pool, self._context.id, 1, NO_PREVIOUS, key, ALL_RIGHTS))

    def vouch(self, key: bytes, rights: Rights) -> Signed[Voucher]:
        """Vouch for the holder of a public key."""
        self._must_own()
        if len(key) != KEY_BYTES or not rights:
            raise MeshError("There is nothing to vouch for", "a key of 32 bytes and at least one right")
        if not self._can_vouch():
            raise MeshError(
                "This owner stands too far from the founder to vouch for others", "ask an owner nearer to it"
            )
        if node_id(key) in self._roster.evicted:
            raise MeshError("That machine was evicted from this pool", "coming back takes a new identity")
        context = self._context
        return self._act(Voucher(context.pool, context.id, self._number + 1, self._previous, key, rights))

    def evict(self, subject: NodeId) -> Signed[Eviction]:
        """Put a member out for ever. What it did as an owner, as far as it is known here, stands.

        Where the evicted vouched for others on two branches of its chain (its disk was set back) only one of
        them can be named as standing; for whoever would fall with the other this owner vouches itself.
        """
        self._must_own()
        if subject == self._context.id:
            raise MeshError("An owner does not evict itself", "to go: mesh leave")
        if subject in self._roster.evicted:
            raise MeshError("That member was evicted already")
        if subject not in self._roster:
            raise MeshError("There is no such member", "see `mesh members`")
        last, after = self._gentlest(subject)
        for id, member in self._roster.members.items():
            if id != subject and member.rights & ~after.rights(id) and self._can_vouch():
                self.vouch(member.key, member.rights)
        wish = self.deployment()
        falls = wish is not None and wish.author == subject
        leaps = self._leaps()
        if falls and not leaps:
            self._deploy_again(wish)  # first, so that nobody is without it for a moment
        eviction = self._act(self._eviction(subject, last))
        if falls and leaps:
            self._deploy_again(wish)
        return eviction

    def _deploy_again(self, wish: Deployment | None) -> None:
        if wish is not None:
            self.deploy(wish.model, wish.context, wish.slots, wish.running, wish.layers, wish.copies)

    def _gentlest(self, subject: NodeId) -> tuple[tuple[int, bytes], Roster]:
        """The last act of the subject to be named, such that this owner stays one; and what then stands."""
        lasts = [(tip.fact.number, tip.hash) for tip in self._roster.tips(subject)]
        for last in [*lasts, (0, NO_PREVIOUS)]:
            after = self._roster.after(sign(self._eviction(subject, last), self._context.signer))
            if subject not in after and Rights.OWN in after.rights(self._context.id):
                return last, after
        raise MeshError(
            "This owner cannot evict by whom it was vouched for", "ask another owner, nearer to the founder"
        )

    def _eviction(self, subject: NodeId, last: tuple[int, bytes]) -> Eviction:
        context = self._context
        return Eviction(context.pool, context.id, self._number + 1, self._previous, subject, *last)

    def deploy(
        self,
        model: Model,
        context: int,
        slots: int,
        running: bool,
        layers: tuple[tuple[NodeId, int], ...],
        copies: int,
    ) -> Signed[Deployment]:
        """Say what is to run in the pool from now on."""
        self._must_own()
        highest, node = self.deployment(), self._context
        if highest is not None and self._leaps():
            raise MeshError(
                f"{id_text(highest.author)} counts its deployments beyond all measure",
                "evict it: `mesh evict`",
            )
        number = 1 if highest is None else highest.number + 1
        wish = Deployment(node.pool, node.id, number, model, context, slots, running, layers, copies)
        return self._validator.publish(wish)

    def _leaps(self) -> bool:
        """Whether another's deployment is so far ahead that whoever goes beyond it uses up the numbers."""
        highest = self.deployment()
        if highest is None or highest.author == self._context.id:
            return False
        rest = (s.fact.number for s in self._store.all(Deployment) if s.fact.author != highest.author)
        return bool(highest.number > max(rest, default=0) + _MAX_LEAP)

    def deployment(self) -> Deployment | None:
        """What the pool is to run: of all owners' deployments the one with the highest number."""
        every = (s.fact for s in self._store.all(Deployment) if s.fact.author in self._roster)
        return max(every, key=lambda fact: (fact.number, fact.author), default=None)

    def deployed(self, deployment: Deployment) -> None:
        """It was stored: if it is what the pool is to run, the disk keeps it and the driver hears of it."""
        signed = self._store.get(Deployment, deployment.author)
        if signed is not None and self.deployment() == deployment:
            self._context.persist("deployment", signed.data)
            self._context.tell(DeploymentChanged(deployment))

    def met(self, signed: Signed[Any]) -> None:
        """An act of this very owner came in: one beyond the known head (its disk was set back) is it."""
        if isinstance(signed.fact, Voucher | Eviction) and signed.fact.number > self._number:
            self._advance(signed.fact.number, signed.hash)

    def _can_vouch(self) -> bool:
        return self._roster.members[self._context.id].depth < MAX_CHAIN

    def _must_own(self) -> None:
        if Rights.OWN not in self._roster.rights(self._context.id):
            raise MeshError("Only an owner of the pool may do this", "ask for an invite with the right `own`")

    def _act(self, fact: Any) -> Signed[Any]:
        """Number the act, note it as the chain's new head, tell it."""
        signed = sign(fact, self._context.signer)
        self._advance(self._number + 1, signed.hash)
        self._validator.take(signed)
        return signed

    def _advance(self, number: int, hash: bytes) -> None:
        self._number, self._previous = number, hash
        self._context.persist("act", codec.pack([number, hash]))

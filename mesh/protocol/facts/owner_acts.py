"""The doings of an owner: vouching and evicting, as a numbered chain of acts, and deploying."""

from __future__ import annotations

import dataclasses
from typing import Any

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import DeploymentChanged
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.trust.roster import MAX_CHAIN, Roster
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import HASH_BYTES, NO_PREVIOUS, Deployment, Eviction, PoolEngine, Voucher
from mesh.wire.identity import KEY_BYTES, NodeId, id_text, node_id
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed

_MAX_LEAP = 2**20
"""No owner deploys so often: one whose count leaps this far ahead wants to use up the numbers."""
_ACT = codec.paired(codec.COUNT, codec.fixed(HASH_BYTES))


class Owner:
    """The acts of one member; each is on the disk as the chain's head before any member hears of it."""

    def __init__(self, context: Context, roster: Roster, store: FactStore, validator: FactValidator) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self._number = 0
        self._previous = NO_PREVIOUS

    def restore(self, stored: bytes | None) -> None:
        """Continue the chain of a former run; MeshError when it is damaged."""
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
        """Vouch for the holder of a public key; MeshError when this owner cannot, or the key is evicted."""
        self._require_owner()
        if len(key) != KEY_BYTES or not rights & ALL_RIGHTS:
            raise MeshError("There is nothing to vouch for", "a key of 32 bytes and at least one right")
        if not self._can_vouch():
            raise MeshError(
                "This owner is too far from the founder to vouch for others", "ask an owner nearer to it"
            )
        if node_id(key) in self._roster.evicted:
            raise MeshError("That machine was evicted from this pool", "coming back takes a new identity")
        context = self._context
        return self._act(Voucher(context.pool, context.id, self._number + 1, self._previous, key, rights))

    def evict(self, subject: NodeId) -> Signed[Eviction]:
        """Put a member out for ever. Its acts as an owner stay valid, as far as this node knows them.

        After a state rollback the evicted may have vouched on two branches of its chain. An eviction can name
        only one of them as valid. For members whose vouchers are on the other this owner vouches itself.
        Raises MeshError when the subject is no member, or this node cannot evict it.
        """
        self._require_owner()
        if subject == self._context.id:
            raise MeshError("An owner does not evict itself", "to go: mesh leave")
        if subject in self._roster.evicted:
            raise MeshError("That member was evicted already")
        if subject not in self._roster:
            raise MeshError("There is no such member", "see `mesh members`")
        last, after = self._last_to_keep(subject)
        for id, member in self._roster.members.items():
            if id != subject and member.rights.exceeds(after.rights(id)) and self._can_vouch():
                self.vouch(member.key, member.rights)
        deployment = self.deployment()
        is_revoked = deployment is not None and deployment.author == subject
        leaps = self._leaps()
        if is_revoked and not leaps:
            self._deploy_again(deployment)  # first, so that the pool always has a deployment
        eviction = self._act(self._eviction(subject, last))
        if is_revoked and leaps:
            self._deploy_again(deployment)
        return eviction

    def _deploy_again(self, deployment: Deployment | None) -> None:
        """Deploy in this owner's name what another deployed, with all that its fact says."""
        if deployment is not None:
            self._require_owner()
            again = dataclasses.replace(deployment, author=self._context.id, number=self._next_number())
            self._validator.publish(again, self._form_of(deployment))

    def _form_of(self, deployment: Deployment) -> int | None:
        """The form in which a deployment is said again, where members of version 2 could not read it before.

        They do not lose by it, and neither serving nor evicting waits until they are upgraded.
        """
        signed = self._store.get(Deployment, deployment.author)
        return None if signed is None or signed.is_closed else self._context.speaks.newest

    def _last_to_keep(self, subject: NodeId) -> tuple[tuple[int, bytes], Roster]:
        """The last act of the subject that an eviction can name such that this owner remains one.

        With it the roster as it is after that eviction. MeshError when there is no such act.
        """
        lasts = [(tip.fact.number, tip.hash) for tip in self._roster.tips(subject)]
        for last in [*lasts, (0, NO_PREVIOUS)]:
            after = self._roster.after(self._context.sign(self._eviction(subject, last)))
            if subject not in after and Rights.OWN in after.rights(self._context.id):
                return last, after
        raise MeshError(
            "This owner cannot evict one that vouched for it", "ask another owner, nearer to the founder"
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
        """Say what the pool runs from now on; MeshError for another than an owner."""
        self._require_owner()
        node, number = self._context, self._next_number()
        deployment = Deployment(node.pool, node.id, number, model, context, slots, running, layers, copies)
        former = self.deployment()
        if former is None or former.model != model:
            return self._validator.publish(deployment)
        # What this program does not know of the model's deployment, it does not take away.
        deployment = dataclasses.replace(
            deployment, options=former.options, second=former.second, unknown=former.unknown
        )
        return self._validator.publish(deployment, self._form_of(former))

    def _next_number(self) -> int:
        """The number of the next deployment; MeshError when another owner has used the numbers up."""
        highest = self.deployment()
        if highest is not None and self._leaps():
            raise MeshError(
                f"{id_text(highest.author)} numbers its deployments beyond all measure",
                "evict it: `mesh evict`",
            )
        return 1 if highest is None else highest.number + 1

    def _leaps(self) -> bool:
        """Whether another's deployment is so far ahead that going beyond it would use up the numbers."""
        highest = self.deployment()
        if highest is None or highest.author == self._context.id:
            return False
        rest = (s.fact.number for s in self._store.all(Deployment) if s.fact.author != highest.author)
        return bool(highest.number > max(rest, default=0) + _MAX_LEAP)

    def deployment(self) -> Deployment | None:
        """The deployment in force: of all owners' the one with the highest number, then the highest id.

        A pool runs the one without a name; others are for members of later versions.
        """
        every = (s.fact for s in self._store.all(Deployment) if s.fact.author in self._roster)
        unnamed = (fact for fact in every if not fact.name)
        return max(unnamed, key=lambda fact: (fact.number, fact.author), default=None)

    def choose_engine(self, release: str, digest: bytes) -> Signed[PoolEngine]:
        """Say which llama.cpp the pool runs from now on; MeshError for another than an owner."""
        self._require_owner()
        highest, node = self.pool_engine(), self._context
        number = 1 if highest is None else highest.version[0] + 1
        return self._validator.publish(PoolEngine(node.pool, node.id, (number,), b"", release, digest))

    def pool_engine(self) -> PoolEngine | None:
        """The word on the engine that is in force: the one with the highest number, then the highest id."""
        every = (s.fact for s in self._store.all(PoolEngine) if s.fact.author in self._roster)
        read = (fact for fact in every if isinstance(fact, PoolEngine))
        return max(read, key=lambda fact: (fact.version, fact.author), default=None)

    def deployed(self, deployment: Deployment) -> None:
        """The store took it: if it is the deployment in force, persist it and tell the driver."""
        signed = self._store.get(Deployment, deployment.author)
        if signed is not None and self.deployment() == deployment:
            self._context.persist("deployment", signed.data)
            self._context.tell(DeploymentChanged(deployment))

    def own_act_stored(self, signed: Signed[Any]) -> None:
        """An own act came in: one beyond the known head (after a state rollback) is the new head."""
        if isinstance(signed.fact, Voucher | Eviction) and signed.fact.number > self._number:
            self._advance(signed.fact.number, signed.hash)

    def _can_vouch(self) -> bool:
        return self._roster.members[self._context.id].depth < MAX_CHAIN

    def _require_owner(self) -> None:
        if Rights.OWN not in self._roster.rights(self._context.id):
            raise MeshError("Only an owner of the pool may do this", "ask for an invite with the right `own`")

    def _act(self, fact: Any) -> Signed[Any]:
        """Sign the act, persist it as the chain's new head, then publish it."""
        signed = self._context.sign(fact)
        self._advance(self._number + 1, signed.hash)
        self._validator.take(signed)
        return signed

    def _advance(self, number: int, hash: bytes) -> None:
        self._number, self._previous = number, hash
        self._context.persist("act", codec.pack([number, hash]))

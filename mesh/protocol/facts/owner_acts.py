"""The doings of an owner: vouching and evicting, as a numbered chain of acts, and deploying."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar

from mesh.protocol.base.context import Context
from mesh.protocol.base.effects import DeploymentChanged
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.trust.roster import MAX_CHAIN, Roster
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError, OlderFormError
from mesh.wire.facts import (
    HASH_BYTES,
    NO_PREVIOUS,
    Deployment,
    DeploymentOptions,
    Eviction,
    PoolEngine,
    Voucher,
)
from mesh.wire.identity import KEY_BYTES, NodeId, id_text, node_id
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import Signed

_MAX_LEAP = 2**20
"""No owner deploys so often: one whose count leaps this far ahead wants to use up the numbers."""
_ACT = codec.paired(codec.COUNT, codec.fixed(HASH_BYTES))

Word = Deployment | PoolEngine
"""What any owner may say for the whole pool, and the highest number counts."""

W = TypeVar("W", bound=Deployment | PoolEngine)


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
        if len(key) != KEY_BYTES or not rights.names():
            raise MeshError("There is nothing to vouch for", "a key of 32 bytes and at least one right")
        if not self._can_vouch():
            raise MeshError(
                "This owner is too far from the founder to vouch for others", "ask an owner nearer to it"
            )
        if node_id(key) in self._roster.evicted:
            raise MeshError("That machine was evicted from this pool", "coming back takes a new identity")
        return self._act(self._voucher(key, rights))

    def _voucher(self, key: bytes, rights: Rights) -> Voucher:
        context = self._context
        return Voucher(context.pool, context.id, self._number + 1, self._previous, key, rights)

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
                self._act(self._voucher(member.key, member.rights), self._context.speaks.newest)
        in_force = (self.deployment(), self.pool_engine())
        revoked = [fact for fact in in_force if fact is not None and fact.author == subject]
        leaping = [fact for fact in revoked if self._leaps(type(fact))]
        for fact in revoked:
            if fact not in leaping:
                self._say_again(fact)  # first, so that the pool is never without
        eviction = self._act(self._eviction(subject, last))
        for fact in leaping:
            self._say_again(fact)
        return eviction

    def _say_again(self, fact: Word) -> None:
        """Say in this owner's name what another said.

        In the newest form, for an eviction must not fail: whoever read that reads this.
        """
        number, mine = self._next_number(type(fact)), self._context.id
        if isinstance(fact, Deployment):
            again: Word = dataclasses.replace(fact, author=mine, number=number)
        else:
            again = dataclasses.replace(fact, author=mine, version=(number,))
        self._publish_again(again, self._context.speaks.newest)

    def _publish_again(self, word: Word, form: int | None) -> Signed[Any]:
        """Publish a word that keeps what this program does not know, as far as a fact has room for that.

        What was said before may fill a fact to its last byte, and its next number may be longer.
        """
        try:
            return self._validator.publish(word, form)
        except DecodeError:
            return self._validator.publish(dataclasses.replace(word, unknown=b""), form)

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
        options: DeploymentOptions | None = None,
        second: Model | None = None,
        essential: bool = False,
    ) -> Signed[Deployment]:
        """Say what the pool runs from now on; MeshError for another than an owner.

        ``options`` of None: those of the model's deployment so far, and its ``second`` file. Where the form
        of the time has no room for new ones, the deployment goes without them: serving does not wait for
        members to be upgraded. Raises OlderFormError then if they are ``essential``.
        """
        self._require_owner()
        node, number = self._context, self._next_number(Deployment)
        deployment = Deployment(node.pool, node.id, number, model, context, slots, running, layers, copies)
        former, form = self.deployment(), None
        if former is not None and former.model == model:
            # What this program does not know of the model's deployment, it does not take away.
            deployment = dataclasses.replace(
                deployment, options=former.options, second=former.second, unknown=former.unknown
            )
            form = self._form_of(former)
        if options is not None and (options, second) != (deployment.options, deployment.second):
            said = dataclasses.replace(deployment, options=options, second=second)
            if essential:
                return self._publish_again(said, form)
            with suppress(OlderFormError, DecodeError):
                return self._validator.publish(said, form)
        return self._publish_again(deployment, form)

    def deployment(self) -> Deployment | None:
        """The deployment in force: of all owners' the one with the highest number, then the highest id.

        A pool runs the one without a name; others are for members of later versions.
        """
        return self._in_force(Deployment)

    def choose_engine(self, release: str, digest: bytes) -> Signed[PoolEngine]:
        """Say which llama.cpp the pool runs from now on; MeshError for another than an owner."""
        self._require_owner()
        node, number = self._context, self._next_number(PoolEngine)
        return self._validator.publish(PoolEngine(node.pool, node.id, (number,), b"", release, digest))

    def pool_engine(self) -> PoolEngine | None:
        """The word on the engine that is in force: the one with the highest number, then the highest id."""
        return self._in_force(PoolEngine)

    def _words(self, kind: type[W]) -> Iterator[W]:
        """What all owners say of this kind, without what is named."""
        every = (signed.fact for signed in self._store.all(kind))
        read = (fact for fact in every if isinstance(fact, kind))
        return (fact for fact in read if fact.author in self._roster and not fact.place)

    def _in_force(self, kind: type[W]) -> W | None:
        return max(self._words(kind), key=lambda fact: (fact.version, fact.author), default=None)

    def _next_number(self, kind: type[Word]) -> int:
        """The number of the next word of this kind; MeshError when another owner has used the numbers up."""
        highest = self._in_force(kind)
        if highest is not None and self._leaps(kind):
            what = "deployments" if kind is Deployment else "words on the engine"
            raise MeshError(
                f"{id_text(highest.author)} numbers its {what} beyond all measure",
                "evict it: `mesh evict`",
            )
        return 1 if highest is None else highest.version[0] + 1

    def _leaps(self, kind: type[Word]) -> bool:
        """Whether another's word is so far ahead that going beyond it would use up the numbers."""
        highest = self._in_force(kind)
        if highest is None or highest.author == self._context.id:
            return False
        rest = (fact.version[0] for fact in self._words(kind) if fact.author != highest.author)
        return highest.version[0] > max(rest, default=0) + _MAX_LEAP

    def deployed(self, deployment: Deployment) -> None:
        """The store took it: if it is the deployment in force, persist it and tell the driver."""
        if self._keep(deployment, "deployment"):
            self._context.tell(DeploymentChanged(deployment))

    def engine_chosen(self, engine: PoolEngine) -> None:
        """The store took it: if it is in force, persist it, for a pool may stop as a whole."""
        self._keep(engine, "engine")

    def _keep(self, fact: Word, key: str) -> bool:
        signed = self._store.get(type(fact), fact.author)
        if signed is None or self._in_force(type(fact)) != fact:
            return False
        self._context.persist(key, signed.data)
        return True

    def own_act_stored(self, signed: Signed[Any]) -> None:
        """An own act came in: one beyond the known head (after a state rollback) is the new head."""
        if isinstance(signed.fact, Voucher | Eviction) and signed.fact.number > self._number:
            self._advance(signed.fact.number, signed.hash)

    def _can_vouch(self) -> bool:
        return self._roster.members[self._context.id].depth < MAX_CHAIN

    def _require_owner(self) -> None:
        if Rights.OWN not in self._roster.rights(self._context.id):
            raise MeshError("Only an owner of the pool may do this", "ask for an invite with the right `own`")

    def _act(self, fact: Any, form: int | None = None) -> Signed[Any]:
        """Sign the act, persist it as the chain's new head, then publish it."""
        signed = self._context.sign(fact, form)
        self._advance(self._number + 1, signed.hash)
        self._validator.take(signed)
        return signed

    def _advance(self, number: int, hash: bytes) -> None:
        self._number, self._previous = number, hash
        self._context.persist("act", codec.pack([number, hash]))

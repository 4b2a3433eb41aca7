"""What an owner does: vouching and deploying, as a numbered chain of acts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.protocol.core import Core
from mesh.protocol.roster import MAX_CHAIN, Roster
from mesh.protocol.store import FactStore
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import HASH_BYTES, NO_PREVIOUS, Deployment, Model, Signed, Voucher, sign
from mesh.wire.identity import KEY_BYTES, NodeId
from mesh.wire.rights import ALL_RIGHTS, Rights

_ACT = codec.paired(codec.UINT, codec.fixed(HASH_BYTES))


class Owner:
    """The acts of one member; each is on the disk as the chain's head before it is told."""

    def __init__(
        self, core: Core, roster: Roster, store: FactStore, take: Callable[[Signed[Any]], None]
    ) -> None:
        self._core = core
        self._roster = roster
        self._store = store
        self._take = take
        self._number = 0
        self._previous = NO_PREVIOUS

    def restore(self, stored: bytes | None) -> None:
        """Go on with the chain of a former run."""
        if stored is not None:
            try:
                self._number, self._previous = _ACT.load(codec.unpack(stored, 64))
            except DecodeError:
                raise MeshError("The stored chain of this owner's acts is damaged") from None

    def found(self) -> Signed[Voucher]:
        """The founder vouches for itself."""
        key = self._core.signer.public_key
        return self._act(Voucher(self._core.pool, self._core.id, 1, NO_PREVIOUS, key, ALL_RIGHTS))

    def vouch(self, key: bytes, rights: Rights) -> Signed[Voucher]:
        """Vouch for the holder of a public key."""
        self._must_own()
        if len(key) != KEY_BYTES or not rights:
            raise MeshError("There is nothing to vouch for", "a key of 32 bytes and at least one right")
        if self._roster.members[self._core.id].depth >= MAX_CHAIN:
            raise MeshError(
                "This owner stands too far from the founder to vouch for others", "ask an owner nearer to it"
            )
        core = self._core
        return self._act(Voucher(core.pool, core.id, self._number + 1, self._previous, key, rights))

    def deploy(
        self, model: Model, context: int, slots: int, running: bool, layers: tuple[tuple[NodeId, int], ...]
    ) -> Signed[Deployment]:
        """Say what is to run in the pool from now on."""
        self._must_own()
        number = 1 + max((signed.fact.number for signed in self._store.all(Deployment)), default=0)
        return self._act(
            Deployment(
                self._core.pool,
                self._core.id,
                number,
                model,
                context,
                slots,
                running,
                layers,
                self._number + 1,
                self._previous,
            )
        )

    def met(self, signed: Signed[Any]) -> None:
        """An act of this very owner came in: one beyond the known head (its disk was set back) is it."""
        fact = signed.fact
        number = fact.act if isinstance(fact, Deployment) else fact.number if isinstance(fact, Voucher) else 0
        if number > self._number:
            self._advance(number, signed.hash)

    def _must_own(self) -> None:
        if Rights.OWN not in self._roster.rights(self._core.id):
            raise MeshError("Only an owner of the pool may do this", "ask for an invite with the right `own`")

    def _act(self, fact: Any) -> Signed[Any]:
        """Number the act, note it as the chain's new head, tell it."""
        signed = sign(fact, self._core.signer)
        self._advance(self._number + 1, signed.hash)
        self._take(signed)
        return signed

    def _advance(self, number: int, hash: bytes) -> None:
        self._number, self._previous = number, hash
        self._core.persist("act", codec.pack([number, hash]))

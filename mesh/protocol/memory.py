"""What a Node finds on its disk from a former run: the pool, the owners' acts, its term, its grant."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.protocol.parts import Parts
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import NOBODY, Resignation
from mesh.wire.identity import PoolId

ACTS = "vouchers"
_MAX_STORED = 64 * 1024 * 1024


class Memory:
    """The disk of one Node, as it was when the process started."""

    def __init__(self, parts: Parts, stored: Mapping[str, bytes]) -> None:
        self._parts = parts
        self._stored = dict(stored)
        self._restored = False

    def keep_acts(self) -> None:
        """All acts are to be on the disk."""
        core = self._parts.core
        core.persist(ACTS, codec.pack([core.pool, self._parts.roster.acts()]))

    def restore(self) -> None:
        """Take up the pool, the acts and the term. What this tells is told when the Node starts."""
        stored = self._stored.get(ACTS)
        if stored is None:
            return
        try:
            pool, acts = codec.unpack(stored, _MAX_STORED)
        except (DecodeError, ValueError):
            raise MeshError(
                "The stored vouchers are damaged", "`mesh leave --purge`, then join anew"
            ) from None
        parts = self._parts
        parts.form(PoolId(pool))
        self._restored = True
        parts.intake.absorb_all(acts)
        parts.owner.restore(self._stored.get("act"))
        parts.election.highest = self.integer("term")
        parts.gossip.hush()
        parts.core.cancel(ACTS, b"")

    def resume(self) -> None:
        """Take up the grant that may bind yet, and what was to run."""
        if self._restored:
            self._parts.arbiter.restore(self._stored.get("grant"))
        if (data := self._stored.get("deployment")) is not None:
            self._parts.intake.absorb(data)

    def integer(self, key: str) -> int:
        """A stored number; 0 when there is none."""
        stored = self._stored.get(key)
        if stored is None:
            return 0
        try:
            value: int = codec.paired(codec.UINT).load(codec.unpack(stored, 16))[0]
        except DecodeError:
            raise MeshError(f"The stored {key} is damaged", "`mesh leave --purge`, then join anew") from None
        return value

    def give_up_former_claim(self) -> None:
        """A claim of a former run of this process is led by nobody now: say so."""
        term, core = self.integer("claimed"), self._parts.core
        if term:
            self._parts.intake.publish(Resignation(core.pool, core.id, term, NOBODY))
            core.persist("claimed", codec.pack([0]))

"""The persisted state of a Node: the pool, the owners' acts, its term, its grant."""

from __future__ import annotations

from collections.abc import Mapping

from mesh.protocol.node.wiring import Parts
from mesh.wire import codec
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import NOBODY, Deployment, PoolEngine, Resignation
from mesh.wire.identity import ID_BYTES
from mesh.wire.signed_facts import MAX_FACT

ACTS = "vouchers"
_KEEP_WITHIN = 1.0
"""Acts are on the disk after so many seconds: many come at a time, and one write holds them all."""
_MAX_STORED = 64 * 1024 * 1024
_MOST_ACTS = 65536
"""More than a roster holds, revoked ones included, and as many as the codec lets into one list."""

_ACTS = codec.paired(codec.fixed(ID_BYTES), codec.listed(codec.blob(MAX_FACT), _MOST_ACTS))
_NUMBER = codec.paired(codec.COUNT)
_IN_FORCE = ("deployment", "engine")
_SAID = "said"
_WORDS = (Deployment, PoolEngine, Resignation)
_MOST_WORDS = 32
_LIST = codec.listed(codec.blob(MAX_FACT), _MOST_WORDS)


class PersistedState:
    """Writes the acts of one Node, and takes up what was on its disk when the process started."""

    def __init__(self, parts: Parts, stored: Mapping[str, bytes]) -> None:
        self._parts = parts
        self._stored = dict(stored)
        self._restored = False
        self._said = frozenset[bytes]()

    def keep_acts(self) -> None:
        """Persist all acts."""
        context = self._parts.context
        context.persist(ACTS, codec.pack([context.pool, self._parts.roster.acts()]))

    def act_stored(self) -> None:
        """A voucher or an eviction changed the store: persist it soon."""
        context = self._parts.context
        context.members_changed = True
        context.schedule_by(ACTS, b"", context.now + _KEEP_WITHIN)

    def restore(self) -> None:
        """Take up the pool, the acts and the term; MeshError when their files are damaged.

        A malformed or forged act is refused as from any source, for members spread the true one again. The
        rumours that this makes are dropped: the Node begins to spread facts when it starts.
        """
        stored = self._stored.get(ACTS)
        if stored is None:
            return
        try:
            pool, acts = _ACTS.load(codec.unpack(stored, _MAX_STORED))
        except DecodeError:
            raise MeshError(
                "The stored vouchers are damaged", "`mesh leave --purge`, then join anew"
            ) from None
        parts = self._parts
        parts.form(pool)
        self._restored = True
        parts.validator.absorb_all(acts)
        parts.owner.restore(self._stored.get("act"))
        parts.terms.highest = self.integer("term")
        parts.gossip.drop_rumours()
        parts.context.cancel(ACTS, b"")

    def resume(self) -> None:
        """Take up what owners and this node said, and the grant that may still bind; what is damaged is none.

        The facts come first: with its resignation this node knows that it need not resign from the claim in
        its grant once more.
        """
        in_force = [data for key in _IN_FORCE if (data := self._stored.get(key)) is not None]
        for data in (*sorted(self._restored_words()), *in_force):
            self._parts.validator.absorb(data)
        if self._restored:
            self._parts.worker_lease.restore(self._stored.get("grant"))

    def _restored_words(self) -> frozenset[bytes]:
        """What this node said in former runs and no later word of its own replaced."""
        try:
            stored = self._stored.get(_SAID, codec.pack([]))
            self._said = frozenset(_LIST.load(codec.unpack(stored, len(stored))))
        except DecodeError:
            self._said = frozenset()
        return self._said

    def keep_words(self) -> None:
        """Persist what this node said last in facts whose numbers only its store knows.

        The next run must not say another thing, or the same in another form, under one number: that would be
        an equivocation. So they are on the disk before any member hears of them.
        """
        parts = self._parts
        every = (signed for kind in _WORDS for signed in parts.store.all(kind))
        own = frozenset(signed.data for signed in every if signed.fact.author == parts.context.id)
        if not own <= self._said:
            self._said = own
            parts.context.persist(_SAID, codec.pack(sorted(own)[:_MOST_WORDS]))

    def integer(self, key: str) -> int:
        """A stored number; 0 when there is none, MeshError when it is damaged."""
        stored = self._stored.get(key)
        if stored is None:
            return 0
        try:
            value: int = _NUMBER.load(codec.unpack(stored, 16))[0]
        except DecodeError:
            raise MeshError(f"The stored {key} is damaged", "`mesh leave --purge`, then join anew") from None
        return value

    def give_up_former_claim(self) -> None:
        """Resign from a claim of a former run, since no process leads by it now, unless that run did."""
        term, context = self.integer("claimed"), self._parts.context
        if term:
            last = self._parts.store.get(Resignation, context.id)
            if last is None or last.fact.term < term:
                self._parts.validator.publish(Resignation(context.pool, context.id, term, NOBODY))
            context.persist("claimed", codec.pack([0]))

"""Checks a voucher chain alone, as a machine can before it belongs to any pool."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.protocol.trust.roster import MAX_CHAIN, Roster
from mesh.wire import signed_facts
from mesh.wire.errors import MeshError
from mesh.wire.facts import Voucher
from mesh.wire.identity import NodeId, PoolId, Verifier, node_id, pool_id
from mesh.wire.rights import Rights


def verify_chain(chain: Sequence[bytes], verifier: Verifier) -> tuple[PoolId, bytes, Rights]:
    """The pool, the public key and the rights of the member at the end of ``chain``, founder first.

    Raises MeshError when a link is forged, does not continue the one before it, or the chain is too long.
    """
    broken = MeshError("a voucher chain does not hold")
    if not 0 < len(chain) <= MAX_CHAIN + 1:
        raise broken
    links = [signed_facts.decode(link) for link in chain]
    if not all(isinstance(link.fact, Voucher) for link in links):
        raise broken
    pool = pool_id(links[0].fact.key)
    roster = Roster(pool)
    end: NodeId | None = None
    for link in links:
        voucher = link.fact
        author_key = roster.key(voucher.author) if end is not None else voucher.key
        end = node_id(voucher.key)
        if voucher.pool != pool or author_key is None or not link.proven_by(author_key, verifier):
            raise broken
        roster.add(link)
        if end not in roster:
            raise broken
    assert end is not None
    return pool, links[-1].fact.key, roster.rights(end)

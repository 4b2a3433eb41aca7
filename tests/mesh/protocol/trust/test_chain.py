"""What a stranger believes of a voucher chain: every link hangs on the one before it, and is signed."""

import pytest

from mesh.protocol.trust.chain import verify_chain
from mesh.protocol.trust.roster import MAX_CHAIN
from mesh.wire.errors import MeshError
from mesh.wire.facts import NO_PREVIOUS, Claim, Voucher
from mesh.wire.identity import PoolId, pool_id
from mesh.wire.rights import ALL_RIGHTS, Rights
from mesh.wire.signed_facts import sign
from simulations.signing import KeyedHash, verify

KEYS = [KeyedHash(number) for number in range(MAX_CHAIN + 3)]
POOL = pool_id(KEYS[0].public_key)


def _link(
    author: int, subject: int, rights: Rights = ALL_RIGHTS, pool: PoolId = POOL, signer: int | None = None
) -> bytes:
    key = KEYS[author if signer is None else signer]
    voucher = Voucher(pool, KEYS[author].id, 1, NO_PREVIOUS, KEYS[subject].public_key, rights)
    return sign(voucher, key).data


def _chain(length: int) -> list[bytes]:
    """The founding voucher and ``length`` others, each by the member before."""
    return [_link(0, 0), *(_link(number, number + 1) for number in range(length))]


@pytest.mark.parametrize("length", [0, 1, MAX_CHAIN])
def test_a_chain_proves_the_pool_the_key_and_the_rights_of_its_end(length: int) -> None:
    assert verify_chain(_chain(length), verify) == (POOL, KEYS[length].public_key, ALL_RIGHTS)


def test_a_member_has_the_rights_that_its_voucher_gives() -> None:
    _, _, rights = verify_chain([_link(0, 0), _link(0, 1, Rights.WORK)], verify)
    assert rights == Rights.WORK


@pytest.mark.parametrize("length", [-1, MAX_CHAIN + 1])
def test_a_chain_that_is_empty_or_too_long_proves_nothing(length: int) -> None:
    chain = _chain(length) if length >= 0 else []
    with pytest.raises(MeshError, match="does not hold"):
        verify_chain(chain, verify)


OTHER_POOL = pool_id(KEYS[1].public_key)
BROKEN = {
    "a link signed by another": [_link(0, 0), _link(0, 1, signer=2)],
    "a founder that did not sign": [_link(0, 0, signer=1), _link(0, 1)],
    "a link of another pool": [_link(0, 0), _link(0, 1, pool=OTHER_POOL)],
    "a link that hangs on none before": [_link(0, 0), _link(1, 2)],
    "a link by a member without the right to vouch": [_link(0, 0), _link(0, 1, Rights.WORK), _link(1, 2)],
    "a beginning that is no founding": [_link(0, 1)],
    "another fact": [_link(0, 0), sign(Claim(POOL, KEYS[0].id, 1, 1), KEYS[0]).data],
}


@pytest.mark.parametrize("chain", BROKEN.values(), ids=list(BROKEN))
def test_a_chain_with_a_broken_link_proves_nothing(chain: list[bytes]) -> None:
    with pytest.raises(MeshError, match="does not hold"):
        verify_chain(chain, verify)

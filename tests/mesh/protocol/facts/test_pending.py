from mesh.protocol.facts.pending import MAX_GIVEN, MAX_WAITING, Orphans
from mesh.wire.facts import Claim, Signed, sign
from mesh.wire.identity import PoolId
from simulations.signing import KeyedHash

POOL = PoolId(b"p" * 16)


def _fact(author: int, term: int = 1) -> Signed[Claim]:
    signer = KeyedHash(author)
    return sign(Claim(POOL, signer.id, term, 1), signer)


def test_what_waits_is_taken_out_once_its_author_is_known() -> None:
    orphans = Orphans()
    orphans.keep(_fact(1), "giver")
    orphans.keep(_fact(2), "giver")
    assert orphans.adopt({KeyedHash(1).id}) == [(_fact(1), "giver")]
    assert orphans.adopt({KeyedHash(1).id}) == []
    assert len(orphans) == 1


def test_one_giver_has_a_bounded_share() -> None:
    orphans = Orphans()
    for number in range(1000):
        orphans.keep(_fact(number), "liar")
    assert len(orphans) == MAX_GIVEN


def test_who_gave_most_makes_room_for_others_and_all_stay_bounded() -> None:
    orphans = Orphans()
    for giver in range(MAX_WAITING // MAX_GIVEN):
        for number in range(MAX_GIVEN):
            orphans.keep(_fact(1000 * giver + number), giver)
    assert len(orphans) == MAX_WAITING
    orphans.keep(_fact(99_999), "honest")
    assert len(orphans) == MAX_WAITING
    assert orphans.adopt({KeyedHash(99_999).id}) == [(_fact(99_999), "honest")]


def test_the_same_fact_waits_once() -> None:
    orphans = Orphans()
    for giver in ("one", "other"):
        orphans.keep(_fact(1), giver)
    assert len(orphans) == 1

from mesh.protocol.facts.pending import MAX_OF_A_SOURCE, MAX_WAITING, PendingFacts
from mesh.wire.facts import Claim
from mesh.wire.identity import PoolId
from mesh.wire.signed_facts import Signed, sign
from simulations.signing import KeyedHash

POOL = PoolId(b"p" * 16)


def _fact(author: int, term: int = 1) -> Signed[Claim]:
    signer = KeyedHash(author)
    return sign(Claim(POOL, signer.id, term, 1), signer)


def test_what_waits_is_taken_out_once_its_author_is_known() -> None:
    pending_facts = PendingFacts()
    pending_facts.keep(_fact(1), "giver")
    pending_facts.keep(_fact(2), "giver")
    assert pending_facts.adopt({KeyedHash(1).id}) == [(_fact(1), "giver")]
    assert pending_facts.adopt({KeyedHash(1).id}) == []
    assert len(pending_facts) == 1


def test_one_source_has_a_bounded_share() -> None:
    pending_facts = PendingFacts()
    for number in range(1000):
        pending_facts.keep(_fact(number), "liar")
    assert len(pending_facts) == MAX_OF_A_SOURCE


def test_the_largest_source_makes_room_for_others_and_all_stay_bounded() -> None:
    pending_facts = PendingFacts()
    for source in range(MAX_WAITING // MAX_OF_A_SOURCE):
        for number in range(MAX_OF_A_SOURCE):
            pending_facts.keep(_fact(1000 * source + number), source)
    assert len(pending_facts) == MAX_WAITING
    pending_facts.keep(_fact(99_999), "honest")
    assert len(pending_facts) == MAX_WAITING
    assert pending_facts.adopt({KeyedHash(99_999).id}) == [(_fact(99_999), "honest")]


def test_the_same_fact_waits_once() -> None:
    pending_facts = PendingFacts()
    for source in ("one", "other"):
        pending_facts.keep(_fact(1), source)
    assert len(pending_facts) == 1

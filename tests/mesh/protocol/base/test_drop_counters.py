"""A node counts what it refuses, by reason, with the latest sender."""

from mesh.protocol.base.drop_counters import DropReason
from mesh.protocol.node.node import Node
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import first_number, seal
from mesh.wire.facts import Claim, Liveness
from mesh.wire.identity import PoolId, id_text
from mesh.wire.messages import Ping, encode
from mesh.wire.rights import Rights
from mesh.wire.signed_facts import sign
from simulations.signing import KeyedHash
from tests.mesh.protocol.stage import Stage

SOMEWHERE = Endpoint("10.6.6.6", 666)
PING = encode(Ping(1, bytes(8), 1, 0))
NUMBER = first_number(1) + 1


def counted(node: Node) -> dict[str, int]:
    return dict(node.drops.counts)


def test_the_labels_of_the_metrics_stay() -> None:
    assert {str(reason) for reason in DropReason} == {
        "foreign", "replayed", "flood", "stranger", "forged", "malformed", "version", "foreign_fact",
        "forged_fact", "malformed_fact", "unauthorised_fact", "leaping_claim", "accusation", "equivocation",
    }  # fmt: skip


def hit(stage: Stage, payload: bytes) -> None:
    stage.perform(stage.node.receive(stage.now, SOMEWHERE, payload))


def test_datagrams_are_refused_for_what_is_wrong_with_them() -> None:
    stage = Stage()
    actor = stage.member(2)
    stranger = KeyedHash(66)
    replayed = actor.seal(Ping(1, bytes(8), 1, 0))
    hit(stage, replayed)
    assert counted(stage.node) == {}
    hit(stage, replayed)
    hit(stage, b"garbage")
    hit(stage, seal(PoolId(b"x" * 16), actor.id, NUMBER + 9, PING, actor.signer))
    hit(stage, seal(stage.pool, actor.id, NUMBER + 9, PING, stranger))
    hit(stage, seal(stage.pool, stranger.id, NUMBER, PING, stranger))
    hit(stage, seal(stage.pool, actor.id, NUMBER + 9, b"\x99", actor.signer, stage.node.id))
    assert counted(stage.node) == {"replayed": 1, "malformed": 2, "foreign": 1, "forged": 1, "stranger": 1}
    assert stage.node.drops.latest["forged"] == SOMEWHERE


def test_a_flood_is_counted_and_not_verified() -> None:
    stage = Stage()
    actor = stage.member(2)
    forged = seal(stage.pool, actor.id, NUMBER + 9, PING, KeyedHash(66))
    for _ in range(1000):
        hit(stage, forged)
    assert counted(stage.node)["flood"] == 1000 - counted(stage.node)["forged"] == 600


def test_facts_are_refused_for_what_is_wrong_with_them() -> None:
    stage = Stage()
    liar, worker = stage.member(2), stage.member(3, rights=Rights.WORK)
    victim = stage.member(4)
    liar.tells(sign(Liveness(stage.pool, victim.id, 1, 9, True), liar.signer).data)
    liar.tells(sign(Liveness(PoolId(b"x" * 16), liar.id, 1, 9, True), liar.signer).data)
    liar.tells(b"no fact")
    worker.tells(worker.claim(1))
    liar.tells(sign(Claim(stage.pool, liar.id, 2**40, 1), liar.signer).data)
    liar.tells(liar.suspicion(stage.node.id, stage.node.generation))
    counts = counted(stage.node)
    assert counts == {
        "forged_fact": 1,
        "foreign_fact": 1,
        "malformed_fact": 1,
        "unauthorised_fact": 1,
        "leaping_claim": 1,
        "accusation": 1,
    }
    assert stage.node.drops.latest["unauthorised_fact"] == id_text(worker.id)
    assert stage.node.drops.latest["accusation"] == id_text(liar.id)


def test_an_equivocation_is_counted_with_the_id_of_its_author() -> None:
    stage = Stage()
    liar = stage.member(2)
    liar.tells(liar.sign(Claim(stage.pool, liar.id, 2, 5)))
    one, other = Liveness(stage.pool, liar.id, 1, 3, True), Liveness(stage.pool, liar.id, 1, 3, False)
    liar.tells(liar.sign(one))
    liar.tells(liar.sign(other))
    assert counted(stage.node) == {"equivocation": 1}
    assert stage.node.drops.latest["equivocation"] == id_text(liar.id)

"""What a Node finds on its disk from a former run: damaged in form, or signed but not what was ever said."""

import functools
from collections.abc import Mapping

import msgpack

from mesh.wire import codec
from mesh.wire.errors import MeshError
from mesh.wire.facts import PoolEngine
from mesh.wire.profile import Model
from mesh.wire.signed_facts import sign
from mesh.wire.versions import SPOKEN
from simulations.signing import KeyedHash, verify
from tests.fuzz.harness import Harness
from tests.fuzz.harnesses.node import Play, moved, signed
from tests.fuzz.tape import loose
from tests.mesh.protocol.stage import Stage
from tests.mesh.wire.test_signed_facts import FACTS, GROWN_FACTS

KEYS = ("vouchers", "act", "term", "grant", "deployment", "incarnation", "claimed", "form", "engine", "said")
RAW, GONE, ACT, GRANT, DEPLOYMENT, NUMBER = range(6)
MAX_STEPS = 16
SECONDS = 5.0


@functools.cache
def _former() -> tuple[Play, Mapping[str, bytes]]:
    """A pool in which much has happened, and what is on the disk of its founder."""
    play = Play()
    stage = play.stage
    stage.perform(stage.node.deploy(stage.now, Model("model.gguf", 1, bytes(32)), 4096, 1, True))
    stage.wait(2.0)
    leader = play.actors[0]
    claim = leader.claim(2)
    engine = PoolEngine(stage.pool, stage.signer.id, (1,), b"", "b1", bytes(32))
    disk = {
        "term": codec.pack([2]),
        "claimed": codec.pack([1]),
        "grant": codec.pack([claim, 1]),
        "form": codec.pack([SPOKEN.oldest]),
        "engine": sign(engine, stage.signer).data,
        **stage.disk,
    }
    assert set(KEYS) == set(disk)
    return play, disk


def stored(data: bytes) -> dict[str, bytes]:
    """A disk after steps: a byte for what (high half) and where or whose (low), two for a length, a payload.

    What is signed is so by whoever the step names, the Node itself among them.
    """
    play, former = _former()
    disk, at = dict(former), 0
    signers = [play.stage.signer, *(actor.signer for actor in play.actors)]
    for _ in range(MAX_STEPS):
        head = data[at : at + 3]
        if len(head) < 3:
            break
        what, which = head[0] >> 4, head[0] & 15
        length = int.from_bytes(head[1:], "big") % 4096
        payload = data[at + 3 : at + 3 + length]
        at += 3 + length
        _step(disk, what % 6, KEYS[which % len(KEYS)], signers[which % len(signers)], payload)
    return disk


def _step(disk: dict[str, bytes], what: int, key: str, signer: KeyedHash, payload: bytes) -> None:
    if what == RAW:
        disk[key] = payload
    elif what == GONE:
        disk.pop(key, None)
    elif what == ACT:
        acts = loose(disk.get("vouchers", b""))
        if isinstance(acts, list) and len(acts) == 2 and isinstance(acts[1], list):
            disk["vouchers"] = msgpack.packb([acts[0], [*acts[1], signed(signer, payload)]])
    elif what == GRANT:
        disk["grant"] = codec.pack([signed(signer, payload), 1])
    elif what == DEPLOYMENT:
        disk["deployment"] = signed(signer, payload)
    else:
        disk[key] = codec.pack([int.from_bytes(payload[:8], "big")])


def disk(data: bytes) -> None:
    """Whatever is on the disk: the Node says that it is damaged, or starts, and holds what is proven."""
    try:
        stage = Stage(stored=stored(data), signer=_former()[0].stage.signer)
    except MeshError:
        return
    stage.wait(SECONDS)
    node = stage.node
    keys = node.keys()
    for held in node.inspect().facts():
        key = keys.get(held.fact.author)
        assert key is None or held.proven_by(key, verify)
    node.leader(), node.holder(stage.now), node.deployment()
    assert all(type(value) is bytes for value in stage.disk.values())


# --- what is found and what might be


def _write(what: int, where: int, payload: bytes) -> bytes:
    return bytes([what << 4 | where]) + len(payload).to_bytes(2, "big") + payload


def _corpus() -> list[bytes]:
    play, former = _former()
    pool = play.stage.pool
    odd = [[pool, 5], [pool, [1]], [pool, [[]]], [pool, [b""]], [pool], [5, []], [pool[1:], []], [[], []], 5]
    steps = [_write(RAW, number, former[key]) for number, key in enumerate(KEYS)]
    steps += [_write(RAW, number, b"") + _write(GONE, number + 1, b"") for number in range(len(KEYS))]
    steps += [_write(RAW, number, msgpack.packb(value)) for number in (0, 1, 3) for value in odd]
    bodies = [moved(play, fact, who) for fact in (*FACTS, *GROWN_FACTS) for who in (0, 2)]
    for what in (ACT, GRANT, DEPLOYMENT):
        steps += [_write(what, 1 + number % 2 * 2, body) for number, body in enumerate(bodies)]
    ends = [number.to_bytes(8, "big") for number in (0, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)]
    steps += [
        _write(NUMBER, KEYS.index(key), end)
        for key in ("term", "incarnation", "claimed", "form")
        for end in ends
    ]
    return [*steps, *(b"".join(steps[at : at + 6]) for at in range(0, len(steps), 6))]


HARNESSES = (
    Harness(
        "disk",
        "mesh.protocol.node.persisted, owner_acts, worker_lease",
        lambda: disk,
        _corpus,
        milliseconds=2000.0,
        mib=48,
    ),
)

"""The verdict of the leader's door on any request."""

import functools
import json
from random import Random

from leader.door.orders import EngineFacts, Order, Refused, Verdict
from leader.door.routes import ROUTES
from leader.door.verdict import bodies_fields, judge
from tests.fuzz.harness import Harness
from tests.fuzz.requests import random_request

ENGINES = (
    EngineFacts("model", 2048, 4, sees=True),
    EngineFacts("model", 2048, 4, embeds=True, sees=True),
    EngineFacts("model", 2048, 4, ranks=True),
)
MOST = 32768


def verdict(data: bytes) -> None:
    """A line of method and target, and a body: they are judged, whatever is served."""
    head, _, body = data.partition(b"\n")
    method, _, target = head.partition(b" ")
    for engine in ENGINES:
        _judged(judge(method.decode("latin-1"), target, body, engine))


def _judged(judged: Verdict) -> None:
    """What is ordered is of known fields; a refusal says why."""
    if isinstance(judged, Refused):
        assert judged.status in (400, 404, 405, 413, 501)
        assert judged.message
        assert json.dumps([judged.message, judged.field])
        return
    if not isinstance(judged, Order):
        return
    known = bodies_fields(judged.path)
    assert all(0x21 <= ord(one) <= 0x7E for name in judged.dropped for one in name)
    assert len(judged.dropped) <= 32
    assert len(judged.bodies) <= 64
    for each in judged.bodies:
        written = json.loads(each.decode())
        assert set(written) <= known, set(written) - known
        assert "id_slot" not in written
        assert written.get("cache_prompt", False) is False
    assert len(judged.beginnings) in (0, len(judged.bodies))


@functools.cache
def _corpus() -> tuple[bytes, ...]:
    random = Random(1)
    requests = [random_request(random) for _ in range(400)]
    plain = [f"GET {path.decode()}\n".encode() for path in ROUTES]
    found = [f"{method} ".encode() + target + b"\n" + body for method, target, body in requests]
    return (*plain, *(each for each in found if len(each) <= MOST))


HARNESSES = (
    Harness("door", "leader.door.verdict", lambda: verdict, _corpus, MOST, milliseconds=2500.0, mib=64),
)

import json
from pathlib import Path
from typing import Any

import pytest

from mesh.operations.pool_file import MAX_BYTES, read_pool
from mesh.wire.errors import MeshError
from tests.leader.shapes import model_info

SHAPE = model_info()
ANNA = {"name": "anna", "memory": "8G"}


def described(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "pool.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_left_out_is_filled_in_and_the_first_member_leads(tmp_path: Path) -> None:
    pool = read_pool(described(tmp_path, {"members": [ANNA, {"name": "bert", "memory": 5}]}), SHAPE)
    anna, bert = pool.devices
    assert (anna.local, anna.rtt, anna.memory_offered) == (True, 0.0, 8 << 30)
    assert (bert.local, bert.rtt, bert.memory_offered) == (False, 0.001, 5)
    assert (pool.context, pool.slots) == (None, None)


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    bert = {"name": "bert", "memory": "1G", "layer_ms": 2.5, "leader": True}
    members = [{**ANNA, "rtt_ms": 4}, bert]
    pool = read_pool(described(tmp_path, {"members": members, "context": 512, "slots": 2}), SHAPE)
    assert [device.local for device in pool.devices] == [False, True]
    assert pool.devices[0].rtt == 0.004
    assert pool.devices[1].layer_seconds == 0.0025
    assert (pool.context, pool.slots) == (512, 2)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("{", "is no JSON"),
        ("\x00", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ([], "names no members"),
        ({}, "names no members"),
        ({"members": []}, "names no members"),
        ({"members": "anna"}, "names no members"),
        ({"members": ["anna"]}, "needs a name and its memory: anna"),
        ({"members": [{"name": "anna"}]}, "needs a name and its memory"),
        ({"members": [{"memory": "8G"}]}, "needs a name and its memory"),
        ({"members": [{**ANNA, "layer_ms": "fast"}]}, "anna: layer_ms cannot be fast"),
        ({"members": [{**ANNA, "layer_ms": 0}]}, "layer_ms cannot be 0"),
        ({"members": [{**ANNA, "layer_ms": float("nan")}]}, "layer_ms cannot be nan"),
        ({"members": [{**ANNA, "rtt_ms": -1}]}, "rtt_ms cannot be -1"),
        ({"members": [{"name": "anna", "memory": "plenty"}]}, "no amount of memory"),
        ({"members": [{"name": "anna", "memory": -5}]}, "cannot offer -5"),
        ({"members": [{"name": "anna", "memory": True}]}, "no amount of memory"),
        ({"members": [{"name": "anna", "memory": 1 << 63}]}, "cannot offer"),
        ({"members": [{"name": "anna", "memory": 10**400}]}, "cannot offer"),
        ({"members": [{"name": "half \ud800", "memory": "8G"}]}, "needs a name"),
        ({"members": [{"name": "a", "devices": [{"name": "\x1b[2J", "memory": 1}]}]}, "needs a name"),
        ({"members": [{**ANNA, "kind": "quantum"}]}, "anna: kind cannot be quantum, but cuda, "),
        ({"members": [{**ANNA, "kind": 7}]}, "anna: kind cannot be 7"),
        ({"members": [ANNA, ANNA]}, "two members have one name"),
        ({"members": [{**ANNA, "leader": True}, {**ANNA, "name": "b", "leader": 1}]}, "cannot both lead"),
        ({"members": [ANNA], "context": 0}, "context must be a number"),
        ({"members": [ANNA], "context": "much"}, "context must be a number"),
        ({"members": [ANNA], "slots": 1.5}, "slots must be a number"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused_with_what_is_wrong(
    tmp_path: Path, content: Any, wrong: str
) -> None:
    with pytest.raises(MeshError, match=wrong) as caught:
        read_pool(described(tmp_path, content), SHAPE)
    assert caught.value.hint


def test_a_description_that_is_missing_or_enormous_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"cannot read .*: No such file"):
        read_pool(tmp_path / "none.json", SHAPE)
    (tmp_path / "big.json").write_bytes(b" " * (MAX_BYTES + 1))
    with pytest.raises(MeshError, match="too large"):
        read_pool(tmp_path / "big.json", SHAPE)

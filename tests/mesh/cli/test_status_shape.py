import copy
from typing import Any

import pytest

from tests.mesh.cli import examples
from tests.mesh.cli.status_shape import problems


def test_the_example_has_the_shape() -> None:
    assert problems(examples.status()) == []
    assert problems(examples.status(leader=None, deployment=None, plan=None, members=[])) == []


def test_more_keys_are_welcome() -> None:
    assert problems(examples.status(more=1)) == []


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        (("leader", "term"), "3", "status.leader.term is '3'"),
        (("leader", "term"), True, "status.leader.term is True"),
        (("members", 0, "layers"), [0], "status.members[0].layers has 1 elements"),
        (("members", 1, "state"), "ill", "status.members[1].state is 'ill'"),
        (("members", 1, "rtt_ms"), -1.0, "status.members[1].rtt_ms is -1.0"),
        (("deployment", "progress"), 1.5, "status.deployment.progress is 1.5"),
        (("self", "paused"), 0, "status.self.paused is 0"),
        (("members",), {}, "status.members is no list"),
        (("engine",), None, "status.engine is no object"),
    ],
)
def test_a_departure_is_named(path: tuple[Any, ...], value: Any, wrong: str) -> None:
    status = copy.deepcopy(examples.status())
    inner: Any = status
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    [found] = problems(status)
    assert found.startswith(wrong)


def test_a_missing_key_is_named() -> None:
    status = examples.status()
    del status["plan"]["stages"][0]["head"]
    assert problems(status) == ["status.plan.stages[0].head is missing"]

"""Every operation that is declared is answered, and none is answered before its arguments are checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mesh.control import operations
from mesh.control.control_errors import ControlError
from mesh.control.operations import Operation
from mesh.operations.operation_table import OperationTable
from tests.mesh.operations.homes import FakeHome
from tests.mesh.protocol.stage import Stage as Scene

DECLARED = {one.name: one for one in vars(operations).values() if isinstance(one, Operation)}


@pytest.fixture
def home(tmp_path: Path) -> FakeHome:
    return FakeHome(tmp_path, Scene())


async def emit(event: Mapping[str, Any]) -> None:
    raise AssertionError("nothing is to be told")


def test_every_declared_operation_is_answered(home: FakeHome) -> None:
    assert set(OperationTable(home).handlers()) == set(DECLARED)


def test_operations_that_must_not_be_cut_short_survive_a_hang_up(home: FakeHome) -> None:
    surviving = OperationTable(home).survive_hang_up()
    assert surviving == {"leave", "stop", "evict", "prune", "shutdown"}


async def test_an_answer_is_what_the_method_returns(home: FakeHome) -> None:
    answer = await OperationTable(home).handlers()["info"]({}, emit)
    assert json.loads(json.dumps(answer))["joined"] is False


@pytest.mark.parametrize("name", DECLARED)
async def test_arguments_that_do_not_fit_reach_no_method(home: FakeHome, name: str) -> None:
    handler = OperationTable(home).handlers()[name]
    fields = DECLARED[name].args.__annotations__
    with pytest.raises(ControlError, match=f"the arguments of {name}: unheard_of is unknown"):
        await handler({"unheard_of": 1}, emit)
    for field in fields:
        told = {**dict.fromkeys(fields), field: object()}
        with pytest.raises(ControlError, match=f"the arguments of {name}: "):
            await handler(told, emit)

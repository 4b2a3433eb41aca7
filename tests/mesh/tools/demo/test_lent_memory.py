"""What the nodes lend takes all three of them before the kill, and suffices after it: the planner says so."""

from itertools import combinations
from pathlib import Path

import pytest

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.cost import Device
from leader.placement.infeasible import Infeasible
from leader.placement.planner import Plan, place
from leader.placement.reading import read_model
from mesh.tools.demo.lent_memory import LentMemory, lent_memory
from mesh.tools.demo.performance import GENERATED, GENERATED_BYTES
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.wire.errors import MeshError

CONTEXT = 512


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "babbling.gguf"
    generate(path, spec_of_size(GENERATED_BYTES, GENERATED))
    return path


def planned(info: ModelInfo, lent: LentMemory, leader: str, *others: str) -> Plan:
    sizes = {"alpha": lent.leader, "bravo": lent.other, "charlie": lent.other}
    devices = [
        Device(name.encode(), name, sizes[name], 1e-4, rtt=1e-3, local=name == leader)
        for name in (leader, *others)
    ]
    return place(info, devices, EngineSettings(CONTEXT, 1))


def test_it_takes_all_three_and_then_the_two_that_are_left(model: Path) -> None:
    info, lent = read_model(model), lent_memory(model, CONTEXT)
    assert len(planned(info, lent, "alpha", "bravo", "charlie").stages) == 3
    for others in combinations(("bravo", "charlie"), 1):
        with pytest.raises(Infeasible):
            planned(info, lent, "alpha", *others)
    for leader, other in (("bravo", "charlie"), ("charlie", "bravo")):
        assert len(planned(info, lent, leader, other).stages) == 2
        with pytest.raises(Infeasible):
            planned(info, lent, leader)


def test_no_node_lends_what_the_whole_model_takes(model: Path) -> None:
    lent = lent_memory(model, CONTEXT)
    assert max(lent.leader, lent.other) < lent.needed
    assert (lent.leader % (1 << 20), lent.other % (1 << 20)) == (0, 0)


def test_a_model_that_is_nearly_nothing_is_refused(tmp_path: Path) -> None:
    generate(tmp_path / "tiny.gguf", ModelSpec(layers=1))
    with pytest.raises(MeshError, match="too small"):
        lent_memory(tmp_path / "tiny.gguf", CONTEXT)

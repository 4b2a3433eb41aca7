"""What a machine says of itself: what it offers, whether it can work, how well it would lead."""

import dataclasses
from pathlib import Path

import pytest

from leader.model.held_models import HeldModel
from mesh.control.operations import Accelerator, EngineStatus
from mesh.control.sidecar_options import NodeOptions
from mesh.engine.types import Engine
from mesh.member.own_profile import is_worth_publishing, profile, rank, reported_models
from mesh.runtime.program_build import build
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Model, OfferedDevice, Profile
from mesh.wire.rank import Rank
from worker.hardware import MachineMemory
from worker.offers import Offer

GIB = 1 << 30
OPTIONS = NodeOptions(name="attic")
ACCELERATOR: Accelerator = {"kind": "cuda", "name": "2 x NVIDIA H200", "reason": "found one"}
GPU = Offer("CUDA0", "CUDA0", "cuda", "NVIDIA H200", 8 * GIB, 4 * GIB, free=5 * GIB)
PROCESSOR = Offer("CPU", "CPU", "cpu", "EPYC", 64 * GIB, 40 * GIB)
ENGINE = Engine(Path("/e/llama-server"), Path("/e/rpc-server"), "abc123", "7.0.0", "cuda", "built")
BUILDING: EngineStatus = {"state": "building", "progress": 0.4, "reason": "compiling, 60 s left"}
READY: EngineStatus = {"state": "ready", "progress": 1.0, "reason": ""}
MODEL, OTHER = Model("tiny.gguf", 8 << 20, b"r" * 32), Model("other.gguf", 8 << 20, b"o" * 32)
DEPLOYMENT = Deployment(PoolId(b"p" * 16), NodeId(b"a" * 16), 1, MODEL, 4096, 1, True, ())


def told(
    options: NodeOptions = OPTIONS,
    engine: Engine | None = ENGINE,
    status: EngineStatus = READY,
    worker_ready: bool = True,
    models: tuple[Model, ...] = (),
    offered: tuple[Offer, ...] = (GPU, PROCESSOR),
) -> Profile:
    memory = MachineMemory(total=64 * GIB, available=50 * GIB)
    at = [Endpoint("192.0.2.1", 50052)]
    return profile(
        options, ACCELERATOR, memory, offered, engine, status, worker_ready, at, models, DEPLOYMENT
    )


def test_it_names_the_machine_its_addresses_memory_accelerator_and_engine() -> None:
    record = told()
    assert (record.name, record.addresses) == ("attic", (Endpoint("192.0.2.1", 50052),))
    assert (record.memory_total, record.memory_offered, record.memory_free) == (8 * GIB, 4 * GIB, 5 * GIB)
    assert (record.accelerator_kind, record.accelerator_name) == ("cuda", "2 x NVIDIA H200")
    assert (record.engine_commit, record.engine_rpc) == ("abc123", "7.0.0")
    assert record.build == build()


def test_the_deployed_model_is_told_first_for_there_may_be_no_room_for_all() -> None:
    held = [HeldModel(model.name, model.root, model.size, (), ()) for model in (OTHER, MODEL)]
    assert reported_models(held, DEPLOYMENT) == [MODEL, OTHER]
    assert reported_models(held, None) == [OTHER, MODEL]


def test_it_names_each_device_that_it_lends() -> None:
    assert told().devices == (
        OfferedDevice("cuda", "CUDA0", 8 * GIB, 4 * GIB),
        OfferedDevice("cpu", "CPU", 64 * GIB, 40 * GIB),
    )


def test_its_memory_is_that_of_the_first_device_which_older_members_use() -> None:
    record = told(offered=(PROCESSOR,))
    assert (record.memory_total, record.memory_offered, record.memory_free) == (64 * GIB, 40 * GIB, 50 * GIB)
    assert (record.accelerator_kind, record.accelerator_name) == ("cpu", "EPYC")


def test_both_files_of_a_deployment_are_told_first_and_both_make_a_leader() -> None:
    beside = Model("mmproj.gguf", 9, b"p" * 32)
    deployment = dataclasses.replace(DEPLOYMENT, second=beside)
    held = [HeldModel(model.name, model.root, model.size, (), ()) for model in (OTHER, beside, MODEL)]
    assert reported_models(held, deployment) == [beside, MODEL, OTHER]
    assert rank(1, [MODEL, beside], deployment).holds_model == 1
    assert rank(1, [MODEL], deployment).holds_model == 0


def test_a_node_that_does_not_work_offers_no_memory() -> None:
    record = told(dataclasses.replace(OPTIONS, work=False))
    assert (record.memory_offered, record.devices) == (0, ())
    assert record.rank == told().rank, "it leads by the memory that it has"


def test_a_node_that_lends_nothing_is_ready_without_a_worker() -> None:
    record = told(worker_ready=False, offered=())
    assert (record.engine_state, record.memory_offered, record.devices) == ("ready", 0, ())
    assert (record.accelerator_name, record.memory_total) == ("2 x NVIDIA H200", 64 * GIB)


def test_a_node_that_does_not_lead_has_no_rank_whatever_it_holds() -> None:
    assert told(dataclasses.replace(OPTIONS, lead=False), models=(MODEL,)).rank == 0


@pytest.mark.parametrize(
    ("engine", "status", "worker_ready", "state", "reason"),
    [
        (None, BUILDING, False, "building", BUILDING["reason"]),
        (None, {"state": "failed", "progress": 0.0, "reason": "no cc"}, False, "failed", "no cc"),
        (ENGINE, READY, False, "building", "its rpc-server starts"),
        (ENGINE, READY, True, "ready", ""),
    ],
)
def test_an_engine_is_ready_when_its_worker_answers(
    engine: Engine | None, status: EngineStatus, worker_ready: bool, state: str, reason: str
) -> None:
    record = told(engine=engine, status=status, worker_ready=worker_ready)
    assert record.engine_state == state
    assert (record.engine_progress, record.engine_reason) == (status["progress"], reason)


def test_a_node_without_a_worker_waits_for_none() -> None:
    assert told(dataclasses.replace(OPTIONS, work=False), worker_ready=False).engine_state == "ready"


def test_whoever_holds_the_model_leads_before_any_amount_of_memory() -> None:
    assert rank(1 << 20, [OTHER, MODEL], DEPLOYMENT) > rank(1 << 50, [OTHER], DEPLOYMENT)


def test_of_two_that_hold_it_the_one_with_more_memory_leads() -> None:
    assert rank(2 * GIB, [MODEL], DEPLOYMENT) > rank(GIB, [MODEL], DEPLOYMENT) > Rank(holds_model=1)


def test_without_a_deployment_a_model_counts_for_nothing_and_everybody_may_lead() -> None:
    assert rank(GIB, [MODEL], None) == rank(GIB, [], None)
    assert rank(0, [], None) > Rank()


def test_the_first_profile_is_always_worth_publishing() -> None:
    assert is_worth_publishing(None, told())


@pytest.mark.parametrize(
    ("change", "worth"),
    [
        ({"memory_free": 5 * GIB - (100 << 20)}, False),
        ({"memory_free": 4 * GIB}, True),
        ({"engine_progress": 0.98}, False),
        ({"engine_progress": 0.9}, True),
        ({"engine_reason": "59 s left"}, False),
        ({"engine_state": "failed"}, True),
        ({"models": (MODEL,)}, True),
        ({"addresses": ()}, True),
        ({"rank": 1}, True),
        ({"paused": True}, True),
    ],
)
def test_small_drifts_are_kept_to_oneself(change: dict[str, object], worth: bool) -> None:
    before = told()
    assert is_worth_publishing(before, dataclasses.replace(before, **change)) is worth  # type: ignore[arg-type]

"""This machine's own record, and the rank with which it would lead."""

import dataclasses
from collections.abc import Sequence

from leader.model.held_models import HeldModel
from mesh.control.operations import Accelerator, EngineStatus
from mesh.control.sidecar_options import NodeOptions
from mesh.engine.types import Engine
from mesh.runtime.program_build import build
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Deployment
from mesh.wire.profile import Model, OfferedDevice, Profile
from mesh.wire.rank import Rank, is_notable
from mesh.wire.states import EngineState
from worker.hardware import MachineMemory
from worker.offers import Offer


def profile(
    options: NodeOptions,
    accelerator: Accelerator,
    memory: MachineMemory,
    offered: Sequence[Offer],
    engine: Engine | None,
    status: EngineStatus,
    worker_ready: bool,
    addresses: Sequence[Endpoint],
    models: Sequence[Model],
    deployment: Deployment | None,
) -> Profile:
    """The record's content: nothing is lent by a node that does not work; one that does not lead has rank 0.

    Memory and accelerator of the record are its first device's, since members that know of one alone use it.
    """
    lent = offered if options.work else ()
    ready = engine is not None and (worker_ready or not lent)
    first = lent[0] if lent else Offer("", "", accelerator["kind"], accelerator["name"], memory.total, 0)
    # The accelerator is the engine's first device, told with how many are like it.
    is_accelerator = first.kind == accelerator["kind"]
    return Profile(
        name=options.name,
        addresses=tuple(addresses),
        accelerator_kind=first.kind,
        accelerator_name=accelerator["name"] if is_accelerator else first.description,
        memory_total=first.total,
        memory_offered=first.offered,
        memory_free=memory.available if first.free is None else first.free,
        engine_state=_engine_state(ready, engine, status),
        engine_progress=status["progress"],
        engine_reason=status["reason"] if ready or engine is None else "its rpc-server starts",
        engine_commit=engine.commit if engine else "",
        engine_rpc=engine.rpc if engine else "",
        models=tuple(models),
        rank=rank(sum(one.offered for one in offered), models, deployment).to_wire() if options.lead else 0,
        build=build(),
        devices=tuple(OfferedDevice(one.kind, one.name, one.total, one.offered) for one in lent),
    )


def _engine_state(ready: bool, engine: Engine | None, status: EngineStatus) -> str:
    if ready:
        return EngineState.READY.value
    return status["state"] if engine is None else EngineState.BUILDING.value


def reported_models(held: Sequence[HeldModel], deployment: Deployment | None) -> list[Model]:
    """The models to publish, what is deployed first: a record has no room for many."""
    roots = _deployed(deployment)
    models = [Model(model.name, model.size, model.root) for model in held]
    return sorted(models, key=lambda model: model.root not in roots)


def rank(offered: int, models: Sequence[Model], deployment: Deployment | None) -> Rank:
    """How well this node would lead: first whether it holds the deployed model, then its memory in MiB."""
    holds = deployment is not None and _deployed(deployment) <= {model.root for model in models}
    return Rank(holds_model=int(holds), memory=(offered >> 20) + 1)


def _deployed(deployment: Deployment | None) -> set[bytes]:
    """The roots of the deployed model and of the file beside it."""
    return set() if deployment is None else {file.root for file in deployment.held}


def is_worth_publishing(published: Profile | None, new: Profile) -> bool:
    """Whether ``new`` differs by more than a little memory from what was ``published``."""
    if published is None:
        return True
    drift = is_notable(published.memory_free, new.memory_free)
    progress = abs(published.engine_progress - new.engine_progress) >= 0.05
    return drift or progress or _lasting(published) != _lasting(new)


def _lasting(profile: Profile) -> Profile:
    return dataclasses.replace(profile, memory_free=0, engine_progress=0.0, engine_reason="")

"""This machine's own record, and the rank with which it would lead."""

import dataclasses
from collections.abc import Sequence

from leader.model.held_models import HeldModel
from mesh.control.operations import EngineStatus
from mesh.control.sidecar_options import NodeOptions
from mesh.engine.types import Backend, Engine
from mesh.runtime.program_build import build
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Deployment
from mesh.wire.profile import Model, Profile
from mesh.wire.rank import Rank, is_notable
from mesh.wire.states import EngineState
from worker.hardware import MachineMemory


def profile(
    options: NodeOptions,
    backend: Backend,
    memory: MachineMemory,
    offered: int,
    engine: Engine | None,
    status: EngineStatus,
    worker_ready: bool,
    addresses: Sequence[Endpoint],
    models: Sequence[Model],
    deployment: Deployment | None,
) -> Profile:
    """The record's content. A node that does not work offers no memory; one that does not lead has rank 0."""
    ready = engine is not None and (worker_ready or not options.work)
    return Profile(
        name=options.name,
        addresses=tuple(addresses),
        accelerator_kind=backend.kind,
        accelerator_name=backend.name,
        memory_total=memory.total,
        memory_offered=offered if options.work else 0,
        memory_free=memory.available,
        engine_state=_engine_state(ready, engine, status),
        engine_progress=status["progress"],
        engine_reason=status["reason"],
        engine_commit=engine.commit if engine else "",
        engine_rpc=engine.rpc if engine else "",
        models=tuple(models),
        rank=rank(offered, models, deployment).to_wire() if options.lead else 0,
        build=build(),
    )


def _engine_state(ready: bool, engine: Engine | None, status: EngineStatus) -> str:
    if ready:
        return EngineState.READY.value
    return status["state"] if engine is None else EngineState.BUILDING.value


def reported_models(held: Sequence[HeldModel], deployment: Deployment | None) -> list[Model]:
    """The models to publish, the deployed one first: a record has no room for many."""
    root = None if deployment is None else deployment.model.root
    models = [Model(model.name, model.size, model.root) for model in held]
    return sorted(models, key=lambda model: model.root != root)


def rank(offered: int, models: Sequence[Model], deployment: Deployment | None) -> Rank:
    """How well this node would lead: first whether it holds the deployed model, then its memory in MiB."""
    holds = deployment is not None and any(model.root == deployment.model.root for model in models)
    return Rank(holds_model=int(holds), memory=(offered >> 20) + 1)


def is_worth_publishing(published: Profile | None, new: Profile) -> bool:
    """Whether ``new`` differs by more than a little memory from what was ``published``."""
    if published is None:
        return True
    drift = is_notable(published.memory_free, new.memory_free)
    progress = abs(published.engine_progress - new.engine_progress) >= 0.05
    return drift or progress or _lasting(published) != _lasting(new)


def _lasting(profile: Profile) -> Profile:
    return dataclasses.replace(profile, memory_free=0, engine_progress=0.0, engine_reason="")

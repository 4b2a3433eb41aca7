"""A machine's description of itself, within bounds by which a record fits a datagram."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mesh.wire import codec
from mesh.wire.codec import BOOL, ENDPOINT, FLOAT, UINT, fixed, listed, struct, text
from mesh.wire.endpoint import Endpoint
from mesh.wire.states import EngineState

MAX_RECORD = 1024
MAX_MODELS = 8
MAX_NAME = 96
MAX_ADDRESSES = 6


@dataclass(frozen=True, slots=True)
class Model:
    """A model file: its name, its size in bytes and the root (32 bytes) of its hash tree."""

    name: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Profile:
    """A machine's description of itself. Memory in bytes; it would lead with ``rank``, 0: not at all."""

    name: str = ""
    addresses: tuple[Endpoint, ...] = ()
    accelerator_kind: str = "cpu"
    accelerator_name: str = ""
    memory_total: int = 0
    memory_offered: int = 0
    memory_free: int = 0
    tokens_per_second: float = 0.0
    engine_state: str = EngineState.MISSING.value
    engine_progress: float = 0.0
    engine_reason: str = ""
    engine_commit: str = ""
    engine_rpc: str = ""
    models: tuple[Model, ...] = ()
    rank: int = 0
    paused: bool = False


MODEL = struct(Model, text(MAX_NAME), UINT, fixed(32))
PROFILE = struct(
    Profile, text(48), listed(ENDPOINT, MAX_ADDRESSES), text(16), text(64), UINT, UINT, UINT, FLOAT,
    text(16), FLOAT, text(120), text(40), text(16), listed(MODEL, MAX_MODELS), UINT, BOOL,
)  # fmt: skip


def _clip(value: str, limit: int) -> str:
    return value.encode(errors="replace")[:limit].decode(errors="ignore")


def fitted(profile: Profile) -> Profile:
    """The profile cut to its bounds: clips long texts and drops surplus models until a record fits."""
    profile = dataclasses.replace(
        profile,
        name=_clip(profile.name, 48),
        addresses=tuple(profile.addresses[:MAX_ADDRESSES]),
        accelerator_kind=_clip(profile.accelerator_kind, 16),
        accelerator_name=_clip(profile.accelerator_name, 64),
        engine_state=_clip(profile.engine_state, 16),
        engine_reason=_clip(profile.engine_reason, 120),
        engine_commit=_clip(profile.engine_commit, 40),
        engine_rpc=_clip(profile.engine_rpc, 16),
        models=tuple(
            dataclasses.replace(m, name=_clip(m.name, MAX_NAME)) for m in profile.models[:MAX_MODELS]
        ),
    )
    while profile.models and len(codec.pack(PROFILE.dump(profile))) > MAX_RECORD - 160:
        profile = dataclasses.replace(profile, models=profile.models[:-1])
    return profile

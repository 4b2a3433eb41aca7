"""A machine's description of itself, within bounds by which a record fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from mesh.wire import codec
from mesh.wire.codec import BOOL, ENDPOINT, FLOAT, UINT, Codec, fixed, growing, listed, struct, text
from mesh.wire.endpoint import Endpoint
from mesh.wire.states import EngineState
from mesh.wire.versions import GROWING, SPOKEN

MAX_MODELS = 8
MAX_NAME = 96
MAX_ADDRESSES = 6
MAX_DEVICES = 8
MAX_DEVICE_NAME = 24
_MAX_RECORD = 2048
_MAX_CLOSED_RECORD = 1024
_AROUND_PROFILE = 160
"""Bytes of a record that are not its profile: ids, numbers, the signature."""
_NAMES = "the ends of the models' names"


@dataclass(frozen=True, slots=True)
class Model:
    """A model file: its name, its size in bytes and the root (32 bytes) of its hash tree."""

    name: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class OfferedDevice:
    """A device that can hold layers: memory in bytes, and what was measured on it; 0: not measured."""

    kind: str = ""
    name: str = ""
    memory_total: int = 0
    memory_offered: int = 0
    bandwidth: float = 0.0
    """Bytes of weights that decoding reads in a second."""
    operations: float = 0.0
    """Operations of a prefill in a second."""
    overhead: float = 0.0
    """Seconds that each graph takes beside them."""
    slope: float = 0.0
    """Seconds that a layer takes more for each token of depth."""


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
    build: str = ""
    """Which build of the program it runs, as `mesh --version` prints it."""
    devices: tuple[OfferedDevice, ...] = ()

    @property
    def lent(self) -> int:
        """Bytes of all its devices; a record of wire version 2 tells of the first one alone."""
        return sum(device.memory_offered for device in self.devices) or self.memory_offered


MODEL = struct(Model, text(MAX_NAME), UINT, fixed(32))
DEVICE = growing(
    OfferedDevice, text(16), text(MAX_DEVICE_NAME), UINT, UINT, later=(FLOAT, FLOAT, FLOAT, FLOAT)
)  # fmt: skip
_FIELDS = (
    text(48), listed(ENDPOINT, MAX_ADDRESSES), text(16), text(64), UINT, UINT, UINT, FLOAT,
    text(16), FLOAT, text(120), text(40), text(16), listed(MODEL, MAX_MODELS), UINT, BOOL,
)  # fmt: skip
_CLOSED = struct(Profile, *_FIELDS)
_GROWING = growing(Profile, *_FIELDS, later=(text(40), listed(DEVICE, MAX_DEVICES)))


def profile_codec(version: int) -> Codec:
    """The form of a profile in this wire version."""
    return _CLOSED if version < GROWING else _GROWING


def max_record(version: int) -> int:
    """How many bytes a signed record of this wire version may have."""
    return _MAX_CLOSED_RECORD if version < GROWING else _MAX_RECORD


def fitted(profile: Profile, version: int = SPOKEN.newest) -> tuple[Profile, list[str]]:
    """The profile such that a record of this wire version fits, and what was shortened or left out for that.

    What others miss least goes first: the words on the engine, the accelerator's name. The models' names are
    shortened when nothing else would fit; no model is left out for want of room, nor is a device's name, by
    which it is addressed.
    """
    lost = _beyond_bounds(profile)
    profile = _bounded(profile)
    size = _record_size(profile, version)
    for what, shorter in _sacrifices():
        if size <= max_record(version):
            break
        reduced = shorter(profile)
        left = _record_size(reduced, version)
        if left < size:
            profile, size = reduced, left
            if what not in lost:
                lost.append(what)
    return profile, lost


def _record_size(profile: Profile, version: int) -> int:
    """At most how many bytes a signed record of this profile has."""
    return _AROUND_PROFILE + len(codec.pack(profile_codec(version).dump(profile)))


def _beyond_bounds(profile: Profile) -> list[str]:
    """What no record has room for, whatever else is in it."""
    lost = []
    if len(profile.models) > MAX_MODELS:
        lost.append("models: " + ", ".join(model.name for model in profile.models[MAX_MODELS:]))
    if len(profile.devices) > MAX_DEVICES:
        lost.append("devices: " + ", ".join(device.name for device in profile.devices[MAX_DEVICES:]))
    if _models(profile, MAX_NAME) != profile.models:
        lost.append(_NAMES)
    return lost


def _bounded(profile: Profile) -> Profile:
    """The profile with each text and each list cut to its bound."""
    return dataclasses.replace(
        profile,
        name=_clip(profile.name, 48),
        addresses=tuple(profile.addresses[:MAX_ADDRESSES]),
        accelerator_kind=_clip(profile.accelerator_kind, 16),
        accelerator_name=_clip(profile.accelerator_name, 64),
        engine_state=_clip(profile.engine_state, 16),
        engine_reason=_clip(profile.engine_reason, 120),
        engine_commit=_clip(profile.engine_commit, 40),
        engine_rpc=_clip(profile.engine_rpc, 16),
        models=_models(profile, MAX_NAME)[:MAX_MODELS],
        build=_clip(profile.build, 40),
        devices=tuple(
            dataclasses.replace(d, kind=_clip(d.kind, 16), name=_clip(d.name, MAX_DEVICE_NAME))
            for d in profile.devices[:MAX_DEVICES]
        ),
    )


def _sacrifices() -> Iterator[tuple[str, Callable[[Profile], Profile]]]:
    """What a record can do without, in this order; in version 2 six long addresses may be too many."""
    replace = dataclasses.replace
    yield "the reason of the engine's state", lambda p: replace(p, engine_reason="")
    yield "the accelerator's name", lambda p: replace(p, accelerator_name="")
    for length in (64, 48, 32, 24, 16, 8, 0):
        yield _NAMES, partial(_with_names, length=length)
    for count in range(MAX_ADDRESSES - 1, 0, -1):
        yield "the last addresses", partial(_with_addresses, count=count)


def _with_names(profile: Profile, length: int) -> Profile:
    return dataclasses.replace(profile, models=_models(profile, length))


def _with_addresses(profile: Profile, count: int) -> Profile:
    return dataclasses.replace(profile, addresses=profile.addresses[:count])


def _models(profile: Profile, length: int) -> tuple[Model, ...]:
    return tuple(dataclasses.replace(m, name=_clip(m.name, length)) for m in profile.models)


def _clip(value: str, limit: int) -> str:
    return value.encode(errors="replace")[:limit].decode(errors="ignore")

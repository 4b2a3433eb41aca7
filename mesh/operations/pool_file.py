"""A pool described in a JSON file, for `mesh plan --pool`: no sidecar, no network.

``{"members": [{"name": "alpha", "memory": "8G", "rtt_ms": 0.4, "kind": "cpu", "layer_ms": 2.5, "leader":
true}, ...], "context": 4096, "slots": 1}``. Only name and memory are required; the first member leads when
none is marked. A member of several devices has ``"devices": [{"name": "CUDA0", "kind": "cuda", "memory":
"20G"}, ...]`` in place of its own memory, kind and layer_ms.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from leader.model.model_info import ModelInfo
from leader.placement.cost import Device
from leader.reconcile.member_views import devices
from mesh.engine.backends.backend_table import BACKENDS
from mesh.engine.backends.cpu import CPU
from mesh.wire.codec import MAX_UINT
from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_DEVICES, OfferedDevice, Profile
from worker.memory_option import parse_size

MAX_BYTES = 1 << 20
EXAMPLE = 'write {"members": [{"name": "alpha", "memory": "8G", "rtt_ms": 0.4}, ...]}'

OF_DEVICES = 'write "devices": [{"name": "CUDA0", "kind": "cuda", "memory": "20G"}, ...]'


@dataclass(frozen=True, slots=True)
class Described:
    """The pool: its devices, the requested context and slots, if any, and each member's devices by name."""

    devices: list[Device]
    context: int | None
    slots: int | None
    members: dict[bytes, tuple[str, ...]]


def read_pool(path: Path, model_info: ModelInfo) -> Described:
    """The pool in ``path``, with its speeds for the model ``model_info``. Raises MeshError."""
    content = _read(path)
    members = [_member(entry) for entry in content["members"]]
    names = [entry["name"] for entry in members]
    leaders = [entry["name"] for entry in members if entry.get("leader")]
    if len(set(names)) != len(names):
        _refuse(f"{path}: two members have one name")
    if len(leaders) > 1:
        _refuse(f"{path}: {leaders[0]} and {leaders[1]} cannot both lead")
    leader = leaders[0] if leaders else names[0]
    described = [one for entry in members for one in _devices(entry, model_info, leader.encode())]
    named = {
        entry["name"].encode(): tuple(one["name"] for one in entry.get("devices", ())) for entry in members
    }
    return Described(described, _count(content, "context"), _count(content, "slots"), named)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            _refuse(f"{path} is too large for a pool's description")
        content = json.loads(path.read_text())
    except OSError as error:
        raise MeshError(f"cannot read {path}: {error.strerror}", EXAMPLE) from error
    except (ValueError, RecursionError) as error:
        raise MeshError(f"{path} is no JSON: {error}", EXAMPLE) from error
    members = content.get("members") if isinstance(content, dict) else None
    if not isinstance(members, list) or not members:
        _refuse(f"{path} names no members")
    result: dict[str, Any] = content
    return result


def _member(entry: Any) -> dict[str, Any]:
    if not _is_named(entry) or not ("memory" in entry or "devices" in entry):
        _refuse(f"a member needs a name and its memory: {entry}")
    result: dict[str, Any] = entry
    if "devices" in result:
        _check_devices(result["name"], result["devices"])
    return result


def _is_named(entry: Any) -> bool:
    """Whether its name is one: JSON can write half of a character, which is no text."""
    name = entry.get("name") if isinstance(entry, dict) else None
    return isinstance(name, str) and bool(name) and name.isprintable()


def _check_devices(member: str, entries: Any) -> None:
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_DEVICES:
        _refuse(f"{member} needs 1 to {MAX_DEVICES} devices", OF_DEVICES)
    for entry in entries:
        if not _is_named(entry) or "/" in entry["name"] or "memory" not in entry:
            _refuse(f"a device of {member} needs a name and its memory: {entry}", OF_DEVICES)
    names = {entry["name"].lower() for entry in entries}
    if len(names) != len(entries):
        _refuse(f"two devices of {member} have one name", OF_DEVICES)


def _devices(entry: dict[str, Any], model_info: ModelInfo, leader: bytes) -> list[Device]:
    """The member's devices, as the leader would see them in its record."""
    name, alone = entry["name"], "devices" not in entry
    told = [{**entry, "name": ""}] if alone else entry["devices"]
    rtt = _milliseconds(name, entry, "rtt_ms")
    profile = Profile(name=name, devices=tuple(_offered(name, one) for one in told))
    seen = devices(name.encode(), profile, rtt, model_info, leader)
    speeds = {one["name"]: _milliseconds(name, one, "layer_ms", above=0.0) for one in told}
    return [
        replace(
            one,
            layer_seconds=speeds[one.device] or one.layer_seconds,
            rtt=one.rtt if one.local or rtt is None else rtt,
        )
        for one in seen
    ]


def _offered(member: str, entry: dict[str, Any]) -> OfferedDevice:
    memory = entry["memory"]
    offered = memory if type(memory) is int else parse_size(str(memory))
    if not 0 < offered <= MAX_UINT:
        _refuse(f"{member} cannot offer {memory} of memory")
    kind, kinds = entry.get("kind", CPU.name), [backend.name for backend in BACKENDS]
    if kind not in kinds:
        _refuse(f"{member}: kind cannot be {kind}, but {', '.join(kinds)}")
    return OfferedDevice(kind, entry["name"], offered, offered)


def _milliseconds(member: str, entry: dict[str, Any], key: str, above: float = -1e-9) -> float | None:
    """A field in milliseconds, as seconds; None if absent."""
    value = entry.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not above < value < 1e9:
        _refuse(f"{member}: {key} cannot be {value}")
    return float(value) / 1000


def _count(content: dict[str, Any], key: str) -> int | None:
    value = content.get(key)
    if value is not None and (type(value) is not int or value < 1):
        _refuse(f"{key} must be a number from 1 upwards, not {value}")
    return value


def _refuse(message: str, example: str = EXAMPLE) -> NoReturn:
    raise MeshError(message, example)

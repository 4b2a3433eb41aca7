"""A pool described in a JSON file, for `mesh plan --pool`: no sidecar, no network.

``{"members": [{"name": "alpha", "memory": "8G", "rtt_ms": 0.4, "kind": "cpu", "layer_ms": 2.5, "leader":
true}, ...], "context": 4096, "slots": 1}``. Only name and memory are required; the first member leads when
none is marked.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from leader.model.model_info import ModelInfo
from leader.placement.cost import Device, assumed_layer_seconds
from mesh.wire.errors import MeshError
from worker.memory_option import parse_size

MAX_BYTES = 1 << 20
EXAMPLE = 'write {"members": [{"name": "alpha", "memory": "8G", "rtt_ms": 0.4}, ...]}'


@dataclass(frozen=True, slots=True)
class Described:
    """The pool: its devices, and the requested context and slots, if any."""

    devices: list[Device]
    context: int | None
    slots: int | None


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
    devices = [_device(entry, model_info, entry["name"] == leader) for entry in members]
    return Described(devices, _count(content, "context"), _count(content, "slots"))


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
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or "memory" not in entry:
        _refuse(f"a member needs a name and its memory: {entry}")
    result: dict[str, Any] = entry
    return result


def _device(entry: dict[str, Any], model_info: ModelInfo, local: bool) -> Device:
    name, memory = entry["name"], entry["memory"]
    offered = memory if type(memory) is int else parse_size(str(memory))
    if offered <= 0:
        _refuse(f"{name} cannot offer {memory} of memory")
    seconds = _milliseconds(entry, "layer_ms", above=0.0)
    if seconds is None:
        seconds = assumed_layer_seconds(model_info, str(entry.get("kind", "cpu")))
    rtt = _milliseconds(entry, "rtt_ms")
    if rtt is None:
        rtt = 0.001
    return Device(name.encode(), name, offered, seconds, 0.0 if local else rtt, local=local)


def _milliseconds(entry: dict[str, Any], key: str, above: float = -1e-9) -> float | None:
    """A field in milliseconds, as seconds; None if absent."""
    value = entry.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not above < value < 1e9:
        _refuse(f"{entry['name']}: {key} cannot be {value}")
    return float(value) / 1000


def _count(content: dict[str, Any], key: str) -> int | None:
    value = content.get(key)
    if value is not None and (type(value) is not int or value < 1):
        _refuse(f"{key} must be a number from 1 upwards, not {value}")
    return value


def _refuse(message: str) -> NoReturn:
    raise MeshError(message, EXAMPLE)

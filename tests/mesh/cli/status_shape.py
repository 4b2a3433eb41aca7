"""The shape of ``mesh status --json``, which scripts depend on, and a check of JSON against a shape.

A shape is a type, a set of allowed texts, ``[shape]`` for a list, ``(shape, ...)`` for a list of that length,
a dict of required keys (others may be there), a range of numbers, or `Maybe` for what may be null.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Maybe:
    shape: Any


@dataclass(frozen=True)
class Between:
    low: float
    high: float


LAYERS = (int, int)
FRACTION = Between(0, 1)
COUNT = Between(0, float("inf"))

PROGRAM = {"version": str, "build": str}
DEPLOYMENT = {
    "model": str,
    "sha256": str,
    "state": {"waiting", "copying", "loading", "ready", "moving", "failed"},
    "progress": FRACTION,
    "reason": str,
    "context": int,
    "slots": int,
}

STATUS = {
    "version": str,
    "pool": {"id": str, "name": str},
    "self": {"id": str, "name": str, "address": str, "paused": bool},
    "engine": {"state": {"missing", "building", "ready", "failed"}, "progress": FRACTION, "reason": str},
    "leader": Maybe({"id": str, "name": str, "term": int}),
    "members": [
        {
            "id": str,
            "name": str,
            "address": str,
            "state": {"alive", "suspect", "dead", "left"},
            "rights": [{"work", "ask", "lead", "own"}],
            "accelerator": {"kind": {"cpu", "cuda", "metal", "rocm", "vulkan"}, "name": str},
            "memory": {"total": int, "offered": int, "free": int},
            "rtt_ms": Maybe(COUNT),
            "llama_cpp": Maybe({"commit": str, "rpc": str}),
            "layers": Maybe(LAYERS),
            "versions": Maybe((int, int)),
            "build": str,
            "devices": [
                {
                    "kind": str,
                    "name": str,
                    "memory": {"total": int, "offered": int},
                    "layers": Maybe(LAYERS),
                    "bandwidth": Maybe(COUNT),
                    "operations": Maybe(COUNT),
                    "overhead": Maybe(COUNT),
                    "slope": Maybe(COUNT),
                    "quarantine": Maybe({"seconds": int, "reason": str}),
                }
            ],
            "quarantine": Maybe({"seconds": int, "reason": str}),
        }
    ],
    "deployment": Maybe(DEPLOYMENT),
    "deployments": [{"name": str, **DEPLOYMENT}],
    "plan": Maybe(
        {
            "term": int,
            "predicted_tokens_per_second": COUNT,
            "stages": [
                {
                    "member": str,
                    "device": str,
                    "layers": LAYERS,
                    "head": bool,
                    "bytes": int,
                    "milliseconds": COUNT,
                },
            ],
        }
    ),
    "pool_engine": Maybe({"release": str, "digest": str}),
    "api": str,
    "listen": Maybe(str),
    "running": PROGRAM,
    "problems": [
        {
            "code": {
                "wire_version",
                "older_member",
                "older_program",
                "newer_installed",
                "other_build",
                "engine_memory",
            },
            "member": Maybe(str),
            "message": str,
            "hint": str,
        }
    ],
}

ERROR = {"error": {"code": str, "message": str}}


def problems(value: Any, shape: Any = STATUS, where: str = "status") -> list[str]:
    """What is wrong with `value`, in sentences; empty when it has the `shape`."""
    if isinstance(shape, Maybe):
        return [] if value is None else problems(value, shape.shape, where)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{where} is no object: {value!r}"]
        missing = [f"{where}.{key} is missing" for key in shape if key not in value]
        return missing + [
            wrong
            for key, inner in shape.items()
            if key in value
            for wrong in problems(value[key], inner, f"{where}.{key}")
        ]
    if isinstance(shape, list | tuple):
        if not isinstance(value, list):
            return [f"{where} is no list: {value!r}"]
        if isinstance(shape, tuple) and len(value) != len(shape):
            return [f"{where} has {len(value)} elements, not {len(shape)}"]
        inners = shape if isinstance(shape, tuple) else shape * len(value)
        return [
            wrong
            for i, (element, inner) in enumerate(zip(value, inners, strict=True))
            for wrong in problems(element, inner, f"{where}[{i}]")
        ]
    return [] if _fits(value, shape) else [f"{where} is {value!r}, not {shape}"]


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, Between):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and shape.low <= value <= shape.high
    if isinstance(shape, set):
        return isinstance(value, str) and value in shape
    # bool is an int to Python, but not to a script that reads JSON
    return isinstance(value, shape) and (shape is bool or not isinstance(value, bool))

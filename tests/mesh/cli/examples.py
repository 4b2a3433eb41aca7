"""What a sidecar might answer."""

from typing import Any

from mesh.runtime.program_build import build, version

ALPHA, BETA, GAMMA = "a" * 26, "b" * 26, "c" * 26


def member(id: str, name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": name,
        "address": f"10.0.0.{ord(id[0]) - 96}:50052",
        "state": "alive",
        "rights": ["work", "ask", "lead", "own"],
        "accelerator": {"kind": "cpu", "name": "Xeon"},
        "memory": {"total": 8 << 30, "offered": 60 << 20, "free": 4 << 30},
        "rtt_ms": None if id == ALPHA else 1.24,
        "llama_cpp": {"commit": "0c1e57098abc", "rpc": "7.0.0"},
        "layers": None,
        "versions": [2, 3],
        "build": build(),
        "devices": [],
        "quarantine": None,
        **changes,
    }


def device(name: str, kind: str, total: int, offered: int) -> dict[str, Any]:
    unmeasured = dict.fromkeys(("bandwidth", "operations", "overhead", "slope", "quarantine"))
    memory = {"total": total, "offered": offered}
    return {"kind": kind, "name": name, "memory": memory, "layers": None, **unmeasured}


def stage(member: str, layers: list[int], head: bool, size: int, device: str = "") -> dict[str, Any]:
    told = {"member": member, "device": device, "layers": layers, "head": head, "bytes": size}
    return {**told, "milliseconds": 40.0}


def status(**changes: Any) -> dict[str, Any]:
    """Three members; beta leads and holds the second half of the model."""
    deployment = {"model": "tiny.gguf", "sha256": "0" * 64, "state": "ready", "progress": 1.0, "reason": ""}
    deployment |= {"context": 4096, "slots": 1}
    return {
        "version": version(),
        "pool": {"id": "p" * 26, "name": "attic"},
        "self": {"id": ALPHA, "name": "alpha", "address": "10.0.0.1:50052", "paused": False},
        "engine": {"state": "ready", "progress": 1.0, "reason": ""},
        "leader": {"id": BETA, "name": "beta", "term": 3},
        "members": [
            member(ALPHA, "alpha", layers=[0, 7]),
            member(BETA, "beta", layers=[8, 15]),
            member(GAMMA, "gamma", state="dead", rights=["work"], llama_cpp=None),
        ],
        "deployment": deployment,
        "deployments": [{"name": "", **deployment}],
        "plan": {
            "term": 3,
            "predicted_tokens_per_second": 12.5,
            "stages": [
                stage(ALPHA, [0, 7], False, 1 << 20),
                stage(BETA, [8, 15], True, 2 << 20),
            ],
        },
        "pool_engine": None,
        "api": "http://127.0.0.1:50080/v1",
        "listen": None,
        "running": {"version": version(), "build": build()},
        "problems": [],
        **changes,
    }


def joined(**changes: Any) -> dict[str, Any]:
    return {
        "how": "founded",
        "pool": {"id": "p" * 26, "name": "attic"},
        "self": {"id": ALPHA, "name": "alpha", "address": "10.0.0.1:50052", "paused": False},
        "members": 1,
        "accelerator": {"kind": "cpu", "name": "Xeon", "reason": "no GPU found"},
        "engine": {"state": "building", "progress": 0.25, "reason": "compiling"},
        "leader": {"id": ALPHA, "name": "alpha", "term": 1},
        "api": "http://127.0.0.1:50080/v1",
        "listen": None,
        "token": "mesh1:secret",
        "rights": ["work", "ask", "lead", "own"],
        **changes,
    }


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "model": "tiny.gguf",
        "layers": 16,
        "context": 4096,
        "slots": 1,
        "predicted_tokens_per_second": 12.5,
        "milliseconds_per_token": 80.0,
        "stages": [
            {
                "member": ALPHA,
                "name": "alpha",
                "layers": [0, 7],
                "head": False,
                "bytes": 1 << 20,
                "milliseconds": 31.5,
                "terms_ms": {"rtt": 1.5, "layers": 30.0},
                "memory": {"offered": 60 << 20, "layers": 30 << 20},
            },
            {
                "member": BETA,
                "name": "beta",
                "layers": [8, 15],
                "head": True,
                "bytes": 2 << 20,
                "milliseconds": 48.5,
                "terms_ms": {"layers": 30.0, "head": 18.5},
                "memory": {"offered": 80 << 20, "layers": 30 << 20, "head": 9 << 20},
            },
        ],
        "left_out": [{"member": GAMMA, "name": "gamma", "reason": "another llama.cpp"}],
        "notes": ["It does not fit on one machine."],
        **changes,
    }

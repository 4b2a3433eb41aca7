"""What the engine says that it takes as it loads a model, by device and kind, beside what was predicted."""

import os
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leader.model.engine_settings import EngineSettings
from leader.model.model_info import ModelInfo
from leader.placement.cost import compute_bytes
from mesh.engine.types import Engine
from tests.leader.llama.bare_server import free_port

KINDS: Final = ("weights", "context", "compute")
LOAD_SECONDS: Final = 120.0
SPARE: Final = 16 << 20
"""Bytes that a prediction may be above the engine's word, where a tenth of that is less."""
_KIND_OF = {"model": "weights", "KV": "context", "RS": "context", "state": "context", "compute": "compute"}
_BUFFER = re.compile(
    r"(?P<device>\w+?)(?:_\w+)?(?:\[[^\]]*\])? +(?:DSV4 \w+ )?"
    r"(?P<kind>model|KV|RS|state|compute) buffer size = +(?P<size>[\d.]+) MiB"
)
_READY = "sched_reserve: reserve took"
_ROUNDED: Final = 8 << 10  # the log has two digits of a MiB


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes on one device: predicted and taken, each by kind."""

    device: str
    predicted: dict[str, int]
    taken: dict[str, int]

    @property
    def ratio(self) -> float:
        return sum(self.predicted.values()) / max(1, sum(self.taken.values()))

    @property
    def excess(self) -> int:
        """Bytes above what is allowed; below 0 where it is within."""
        taken = sum(self.taken.values())
        return sum(self.predicted.values()) - taken - max(taken // 10, SPARE)

    def lacking(self) -> dict[str, int]:
        """By how many bytes a kind was predicted too little."""
        less = {kind: self.taken[kind] - self.predicted[kind] - _ROUNDED for kind in KINDS}
        return {kind: by for kind, by in less.items() if by > 0}


class NotLoaded(Exception):
    """The engine refused the model; its words."""


def compare(
    engine: Engine, model_info: ModelInfo, settings: EngineSettings, counts: Sequence[int], folder: Path
) -> list[Share]:
    """Each device's share where the layers are split by ``counts`` over devices of one rpc-server.

    Raises NotLoaded. Blocks for a second or so.
    """
    log = folder / "memory.log"
    port = free_port()
    devices = [f"RPC{number}" for number in range(len(counts))]
    server = _start([engine.rpc_server, "-H", "127.0.0.1", "-p", port, "-d", ",".join("CPU" for _ in counts)])
    try:
        argv = [engine.llama_server, "--model", model_info.files[0], "--host", "127.0.0.1"]
        argv += ["--port", free_port(), "--no-ui", "--offline", "--no-warmup", "-lv", 4, "-fit", "off"]
        argv += ["-c", settings.context * settings.slots, "-np", settings.slots, "--no-kv-unified"]
        if settings.kv != "f16":
            argv += ["-ctk", settings.kv, "-ctv", settings.kv]
        split = [*counts[:-1], counts[-1] + 1]
        argv += ["--rpc", f"127.0.0.1:{port}", "--device", ",".join(devices), "-ngl", sum(split)]
        argv += ["-ts", ",".join(map(str, split)), "-cram", 0]
        _await_port(server, port)
        found = _buffers(_load(argv, log))
    finally:
        server.kill()
        server.wait()
    nothing = dict.fromkeys(KINDS, 0)
    shares, first = [], 0
    for device, layers in zip(devices, counts, strict=True):
        last = first + layers
        predicted = {
            "weights": sum(model_info.layer_bytes[first:last])
            + (model_info.head_bytes if last == model_info.n_layers else 0),
            "context": sum(model_info.cache_bytes(settings)[first:last]),
            "compute": compute_bytes(model_info, settings, overlap=len(counts) > 1),
        }
        shares.append(Share(device, predicted, {**nothing, **found.get(device, {})}))
        first = last
    return shares


def _buffers(log: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for match in _BUFFER.finditer(log):
        kinds, kind = found.setdefault(match["device"], {}), _KIND_OF[match["kind"]]
        kinds[kind] = kinds.get(kind, 0) + int(float(match["size"]) * (1 << 20))
    return found


def _start(argv: Sequence[object], output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    return subprocess.Popen([str(one) for one in argv], stdout=output, stderr=output, env=environment)


def _await_port(server: subprocess.Popen[bytes], port: int) -> None:
    """Until it listens, as the kernel's table of sockets tells: a connection would be its client."""
    end = time.monotonic() + LOAD_SECONDS
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    while wanted not in Path("/proc/net/tcp").read_text():
        if _ended(server) or time.monotonic() > end:
            raise NotLoaded("the rpc-server did not start")


def _ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, within a moment."""
    with suppress(subprocess.TimeoutExpired):
        child.wait(0.01)
    return child.returncode is not None


def _load(argv: Sequence[object], log: Path) -> str:
    """The server's log until it has all its buffers."""
    with log.open("wb") as output:
        child = _start(argv, output.fileno())
    end = time.monotonic() + LOAD_SECONDS
    try:
        while _READY not in (text := log.read_text(errors="replace")):
            if _ended(child) or time.monotonic() > end:
                raise NotLoaded("\n".join(text.splitlines()[-5:]))
        return text
    finally:
        child.kill()
        child.wait()

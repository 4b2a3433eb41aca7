"""Which of the backends this machine computes with, and why."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mesh.engine.backends.backend_kind import Probes
from mesh.engine.backends.backend_table import kinds_on
from mesh.engine.engine_errors import EngineError
from mesh.engine.types import Backend


class MachineProbes:
    """Probes of the machine that this process runs on."""

    environ: Mapping[str, str] = os.environ

    def system(self) -> str:
        return platform.system()

    def machine(self) -> str:
        return platform.machine()

    def find(self, name: str, *places: str) -> str | None:
        return shutil.which(name) or next(
            filter(None, (shutil.which(name, path=place) for place in places)), None
        )

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def read(self, pattern: str) -> list[str]:
        texts = []
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            try:
                texts.append(path.read_text(errors="replace"))
            except OSError:
                continue
        return texts

    def run(self, *argv: str) -> str | None:
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def detect(probes: Probes | None = None) -> Backend:
    """The backend of this machine. Blocks, up to some seconds. ``MESH_BACKEND`` overrules the detection.

    Raises EngineError when the one that ``MESH_BACKEND`` names cannot be used.
    """
    probes = probes or MachineProbes()
    kinds = kinds_on(probes.system())
    wanted = probes.environ.get("MESH_BACKEND", "").lower()
    names = [kind.name for kind in kinds]
    if wanted and wanted not in names:
        raise EngineError(f"MESH_BACKEND={wanted} is none of {', '.join(names)} on this system")
    reasons: list[str] = []
    for kind in kinds:
        if wanted in ("", kind.name):
            found = kind.detect(probes)
            if isinstance(found, Backend):
                reason = "; ".join(filter(None, [found.reason, *reasons])) or f"MESH_BACKEND={wanted}"
                return replace(found, reason=reason)
            reasons.append(found)
    raise EngineError(
        f"MESH_BACKEND={wanted}: {'; '.join(reasons)}", "unset MESH_BACKEND to use what there is"
    )

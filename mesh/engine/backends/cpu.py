"""The CPU: every machine can compute with it."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend


def detect(probes: Probes) -> Backend:
    """Always found, so it has no reason of its own: its reason is what the other kinds lacked."""
    if probes.system() == "Darwin":
        return Backend("cpu", darwin_processor(probes), "", ("-DGGML_METAL=OFF",))
    return Backend("cpu", parse_cpuinfo("".join(probes.read("/proc/cpuinfo"))) or probes.machine(), "")


def darwin_processor(probes: Probes) -> str:
    return (probes.run("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string") or probes.machine()).strip()


def parse_cpuinfo(text: str) -> str:
    """The processor's name in ``/proc/cpuinfo``; empty where it has none, as on many ARM systems."""
    found = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""


CPU: Final = BackendKind(name="cpu", detect=detect, on_darwin=True, bandwidth=10e9, disk_needed=500_000_000)

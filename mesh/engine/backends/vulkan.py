"""Vulkan: GPUs of any maker, where their own toolkit is missing."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend


def detect(probes: Probes) -> Backend | str:
    vulkaninfo = probes.find("vulkaninfo")
    if vulkaninfo is None:
        return "no vulkaninfo"
    names = parse_vulkaninfo(probes.run(vulkaninfo, "--summary") or "")
    if not names:
        return "vulkaninfo finds no GPU"
    if probes.find("glslc") is None or not any(
        probes.exists(f"{place}/vulkan/vulkan.h") for place in ("/usr/include", "/usr/local/include")
    ):
        return f"{names[0]}, but no glslc or Vulkan headers to build for it (install libvulkan-dev, glslc)"
    return Backend("vulkan", names[0], "vulkaninfo and glslc", ("-DGGML_VULKAN=ON",))


def parse_vulkaninfo(output: str) -> list[str]:
    """Names of the GPUs in ``vulkaninfo --summary``, discrete ones first, without software devices."""
    devices = re.findall(
        r"deviceType\s*=\s*(\w+).*?deviceName\s*=\s*(.+?)\s*$", output, re.MULTILINE | re.DOTALL
    )
    order = (
        "PHYSICAL_DEVICE_TYPE_DISCRETE_GPU",
        "PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU",
        "PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU",
    )
    return [name for wanted in order for kind, name in devices if kind == wanted]


VULKAN: Final = BackendKind(
    name="vulkan", detect=detect, devices=("Vulkan",), bandwidth=80e9, disk_needed=1_000_000_000
)

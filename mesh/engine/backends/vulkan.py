"""Vulkan: GPUs of any maker, where their own toolkit is missing."""

import re
from typing import Final

from mesh.engine.backends.backend_kind import BackendKind, Probes
from mesh.engine.types import Backend

OLDEST_HEADERS: Final = 272
"""Version 1.3.272 brought what llama.cpp asks the validation layers with; Debian 12 has 239."""
_HEADER: Final = "vulkan/vulkan_core.h"


def detect(probes: Probes) -> Backend | str:
    vulkaninfo = probes.find("vulkaninfo")
    if vulkaninfo is None:
        return "no vulkaninfo"
    names = parse_vulkaninfo(probes.run(vulkaninfo, "--summary") or "")
    if not names:
        return "vulkaninfo finds no GPU"
    sdk = probes.environ.get("VULKAN_SDK", "")
    if probes.find("glslc", *([f"{sdk}/bin"] if sdk else [])) is None:
        return f"{names[0]}, but no glslc to build for it (install glslc and libvulkan-dev)"
    places = ([f"{sdk}/include"] if sdk else []) + ["/usr/local/include", "/usr/include"]
    found = {place: header_version(text) for place in places for text in probes.read(f"{place}/{_HEADER}")}
    if not found:
        return f"{names[0]}, but no Vulkan headers to build for it (install libvulkan-dev)"
    place = next((place for place, version in found.items() if version >= OLDEST_HEADERS), None)
    if place is None:
        return (
            f"{names[0]}, but the Vulkan headers are too old to build for it: version {max(found.values())},"
            f" not {OLDEST_HEADERS} (get newer ones, as the Vulkan SDK's, and set VULKAN_SDK to their folder)"
        )
    flags = ["-DGGML_VULKAN=ON"] + ([] if place == "/usr/include" else [f"-DVulkan_INCLUDE_DIR={place}"])
    return Backend("vulkan", names[0], "vulkaninfo and glslc", tuple(flags))


def header_version(text: str) -> int:
    """The number behind 1.3 or 1.4 in ``vulkan_core.h``, which only rises; 0 where it has none."""
    found = re.search(r"^#define VK_HEADER_VERSION (\d{1,6})\s*$", text, re.MULTILINE)
    return int(found[1]) if found else 0


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

"""What the engine says that it has: read from its own words, asked of the real one."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from mesh.engine import devices
from mesh.engine.devices import EngineDevice, MachineRam, ask, devices_in, processor_alone
from mesh.engine.engine_errors import EngineError
from mesh.engine.process.child import Process
from mesh.engine.types import Engine

MIB = 1 << 20
RAM = MachineRam(24105 * MIB, 20000 * MIB)
CPU_LINE = "  CPU: AMD EPYC (24105 MiB, 24105 MiB free)"


def told(*lines: str, ram: MachineRam = RAM) -> dict[str, EngineDevice]:
    return {device.name: device for device in devices_in(lines, ram)[0]}


def test_names_kinds_and_memory_are_as_the_engine_says() -> None:
    found, unused = devices_in(
        [
            "error: unknown device: ?",
            "available devices:",
            "ggml_cuda_init: found 2 CUDA devices:",
            "  CUDA0: NVIDIA L4 (rev 2) (23034 MiB, 22700 MiB free)",
            "  ROCm1: AMD Instinct (1024 MiB, 1000 MiB free)",
            "  MTL0: Apple M2 Pro (21845 MiB, 21844 MiB free)",
            "  BLAS: OpenBLAS (0 MiB, 0 MiB free)",
            "  SYCL0: Intel Arc (8000 MiB, 8000 MiB free)",
            CPU_LINE,
            "No devices found",
        ],
        RAM,
    )
    assert [(one.name, one.kind, one.total // MIB, one.free // MIB, one.unified) for one in found] == [
        ("CUDA0", "cuda", 23034, 22700, False),
        ("ROCm1", "rocm", 1024, 1000, False),
        ("MTL0", "metal", 21845, 21844, True),
        ("CPU", "cpu", 24105, 24105, False),
    ]
    assert found[0].description == "NVIDIA L4 (rev 2)"
    assert unused == ("BLAS", "SYCL0")


def test_a_vulkan_device_shares_the_machines_memory_where_its_driver_says_so() -> None:
    found = told(
        "ggml_vulkan: 0 = Intel(R) Arc(tm) A770 (Intel) | uma: 0 | fp16: 1 | warp size: 32",
        "ggml_vulkan: 1 = Intel(R) Iris(R) Xe (Intel) | uma: 1 | fp16: 1 | warp size: 32",
        "ggml_vulkan: 2 = llvmpipe (LLVM 15.0.6, 256 bits) (llvmpipe) | uma: 0 | fp16: 1 | warp size: 8",
        "ggml_vulkan: Warning: Device type is CPU. This is probably not the device you want.",
        "  Vulkan0: Intel(R) Arc(tm) A770 (16384 MiB, 16000 MiB free)",
        "  Vulkan1: Intel(R) Iris(R) Xe (12000 MiB, 11000 MiB free)",
        "  Vulkan2: llvmpipe (LLVM 15.0.6, 256 bits) (2048 MiB, 2048 MiB free)",
    )
    assert [found[name].unified for name in ("Vulkan0", "Vulkan1", "Vulkan2")] == [False, True, True]
    assert found["Vulkan0"].total == 16384 * MIB, "a card is not credited with the machine's memory"


@pytest.mark.parametrize(
    ("total", "free", "unified"),
    [
        (24105, 19900, True),  # an integrated GPU: the machine's total, and what Linux calls available
        (24564, 24100, False),  # a card of 24 GB in a machine of 24 GB
        (24105, 23900, False),
        (8192, 19900, True),  # managed memory, which spills into the machine's
        (8192, 8000, False),
    ],
)
def test_what_cuda_counts_as_the_machines_memory_is_not_its_own(total: int, free: int, unified: bool) -> None:
    found = told(f"  CUDA0: NVIDIA GPU ({total} MiB, {free} MiB free)")["CUDA0"]
    assert found.unified is unified
    assert found.most == (max(total, free) if unified else total) * MIB


def test_a_card_that_two_backends_list_is_told_once() -> None:
    lines = [
        "  CUDA0: NVIDIA L4 (23034 MiB, 22700 MiB free)",
        "  ROCm0: AMD Radeon RX 7900 XTX (24560 MiB, 24000 MiB free)",
        "  Vulkan0: NVIDIA L4 (23034 MiB, 22700 MiB free)",
        "  Vulkan1: AMD Radeon RX 7900 XTX (RADV NAVI31) (24560 MiB, 24000 MiB free)",
        "  Vulkan2: NVIDIA L4 (23034 MiB, 22700 MiB free)",
        CPU_LINE,
    ]
    found, unused = devices_in(lines, RAM)
    assert [device.name for device in found] == ["CUDA0", "ROCm0", "Vulkan2", "CPU"]
    assert unused == ("Vulkan0", "Vulkan1")


def test_a_card_whose_name_begins_as_anothers_is_not_taken_for_it() -> None:
    names = ["NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 3090 Ti"]
    for vulkan in (names, names[::-1]):
        lines = [
            f"  {kind}{number}: {name} (24576 MiB, 24000 MiB free)"
            for kind, cards in (("CUDA", names), ("Vulkan", vulkan))
            for number, name in enumerate(cards)
        ]
        found, _ = devices_in([*lines, CPU_LINE], RAM)
        assert [device.name for device in found] == ["CUDA0", "CUDA1", "CPU"]


@pytest.mark.parametrize("line", ["", "CPU", "  CPU: x", " CPU: x (1 MiB, 1 MiB free)", "  CPU: x (1 MiB)"])
def test_other_words_are_no_devices(line: str) -> None:
    assert devices_in([line], RAM) == ((), ())


def test_without_an_answer_there_is_the_processor() -> None:
    assert processor_alone("EPYC") == (EngineDevice("CPU", "cpu", "EPYC"),)
    assert processor_alone("EPYC")[0].is_processor


async def test_the_real_engine_tells_its_processor(engine: Engine) -> None:
    found, _ = await ask(engine)
    processor = found[-1]
    assert (processor.name, processor.kind) == ("CPU", "cpu")
    assert processor.total > 0


def saying(folder: Path, program: str) -> Engine:
    """An engine whose rpc-server is this Python program."""
    path = folder / "ggml-rpc-server"
    path.write_text(f"#!{sys.executable} -IS\n{program}")
    path.chmod(0o755)
    return Engine(folder / "llama-server", path, "abc", "7.0.0", "cpu", "built")


async def test_it_is_asked_in_the_environment_that_it_will_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("MESH_SECRET", "s")
    names = "('CUDA_VISIBLE_DEVICES', 'GGML_VK_VISIBLE_DEVICES', 'MESH_SECRET')"
    program = f"import os\nfor n in {names}: print(f'  CPU: {{n}}={{os.environ.get(n)}} (1 MiB, 1 MiB free)')"
    found, _ = await ask(saying(tmp_path, program))
    assert [device.description for device in found] == [
        "CUDA_VISIBLE_DEVICES=1",
        "GGML_VK_VISIBLE_DEVICES=0",
        "MESH_SECRET=None",
    ]


async def test_an_engine_that_lists_nothing_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="it said: no such driver"):
        await ask(saying(tmp_path, "print('no such driver')"))
    gone = dataclasses.replace(saying(tmp_path, ""), rpc_server=tmp_path / "gone")
    with pytest.raises(EngineError, match="lists no device"):
        await ask(gone)


async def test_an_engine_whose_driver_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    noted: list[int] = []
    start = Process.__init__

    def noting(self: Process, *args: object, **named: object) -> None:
        start(self, *args, **named)  # type: ignore[arg-type]
        noted.append(self.pid)

    monkeypatch.setattr(Process, "__init__", noting)
    with pytest.raises(EngineError, match="did not list its devices within 30 s"):
        await ask(saying(tmp_path, "import time; time.sleep(600)"))
    assert trio.current_time() >= devices.ASK_SECONDS
    with pytest.raises(ProcessLookupError):
        os.kill(noted[0], 0)

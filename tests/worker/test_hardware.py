from pathlib import Path

import pytest

from mesh.engine.types import Backend
from mesh.wire.errors import MeshError
from worker.hardware import MachineMemory, default_offer, measure, parse_size, within_limits

GIB = 1 << 30
CPU = Backend("cpu", "x", "")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("60M", 60 << 20),
        ("8G", 8 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("1.5 gb", 3 * GIB // 2),
        ("1000000", 1000000),
        ("512k", 512 << 10),
        ("2T", 2 << 40),
        ("100B", 100),
    ],
)
def test_amounts_of_memory_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "G", "-1G", "8X", "8 G B", "1e9", "0.0G", "9999999999T", "NaN", "8GG"]
)
def test_what_is_no_amount_of_memory_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse_size(text)
    assert "8G" in caught.value.hint


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_control_group_of_version_2_limits_what_is_there(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/inner\n",
            "sys/fs/cgroup/box/inner/memory.max": "max\n",
            "sys/fs/cgroup/box/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/box/memory.current": f"{GIB}\n",
            "sys/fs/cgroup/box/memory.stat": f"anon 5\ninactive_file {GIB // 4}\n",
        },
    )
    assert within_limits(MachineMemory(8 * GIB, 6 * GIB), root) == MachineMemory(2 * GIB, GIB + GIB // 4)


def test_a_control_group_of_version_1_limits_what_is_there(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/\n3:memory:/box\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/box/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 2}\n",
        },
    )
    assert within_limits(MachineMemory(8 * GIB, 6 * GIB), root) == MachineMemory(2 * GIB, GIB + GIB // 2)


def test_a_container_that_sees_its_group_as_the_top_is_limited(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/pod1/abc\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": "0\n",
        },
    )
    assert within_limits(MachineMemory(8 * GIB, 6 * GIB), root) == MachineMemory(GIB, GIB)


def test_more_use_than_the_limit_leaves_nothing_not_less(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{GIB}\n",
            "sys/fs/cgroup/memory.current": f"{2 * GIB}\n",
        },
    )
    assert within_limits(MachineMemory(8 * GIB, 6 * GIB), root).available == 0


def test_a_machine_without_control_groups_is_not_limited(tmp_path: Path) -> None:
    assert within_limits(MachineMemory(8 * GIB, 6 * GIB), tmp_path) == MachineMemory(8 * GIB, 6 * GIB)


def test_this_machine_has_memory_and_offers_less_than_it_has_free() -> None:
    memory = measure(CPU)
    assert 0 < memory.available <= memory.total
    assert 0 < default_offer(memory, CPU) < memory.available


def test_an_accelerators_own_memory_is_what_counts() -> None:
    vulkan = Backend("vulkan", "GPU", "", memory=10 * GIB)
    memory = measure(vulkan)
    assert memory == MachineMemory(10 * GIB, 10 * GIB)
    assert 9 * GIB <= default_offer(memory, vulkan) < 10 * GIB


def test_metal_leaves_a_part_of_the_shared_memory_to_the_system() -> None:
    assert default_offer(MachineMemory(16 * GIB, 16 * GIB), Backend("metal", "M2", "")) < 12 * GIB

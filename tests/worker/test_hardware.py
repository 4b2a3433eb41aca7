from pathlib import Path

from worker.hardware import MachineMemory, measure, within_limits

GIB = 1 << 30


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


def test_this_machine_has_memory() -> None:
    memory = measure()
    assert 0 < memory.available <= memory.total

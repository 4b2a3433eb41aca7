"""An engine gets as many threads as this process may use, whatever the machine has."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine import threads
from mesh.engine.threads import count, quotas, thread_count


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def topology(cores: dict[int, tuple[int, int]]) -> dict[str, str]:
    """The system's files on processors, each with its package and core."""
    return {
        f"sys/devices/system/cpu/cpu{processor}/topology/{name}": f"{number}\n"
        for processor, place in cores.items()
        for name, number in zip(("physical_package_id", "core_id"), place, strict=True)
    }


@pytest.mark.parametrize(
    ("cores", "limits", "expected"),
    [
        ({0: "a", 1: "a", 2: "b", 3: "b"}, [], 2),
        ({0: "a", 2: "b"}, [], 2),
        ({0: "a", 1: "b", 2: "c", 3: "d"}, [2.0], 2),
        ({0: "a", 1: "b", 2: "c", 3: "d"}, [8.0, 1.5], 1),
        ({0: "a", 1: "b"}, [0.2], 1),
        ({0: "a", 1: "b"}, [64.0], 2),
        ({}, [], 1),
    ],
)
def test_it_is_one_for_each_core_within_the_smallest_quota(
    cores: dict[int, str], limits: list[float], expected: int
) -> None:
    assert count(cores, limits) == expected


@given(st.dictionaries(st.integers(0, 63), st.integers(0, 31)), st.lists(st.floats(0.01, 100)))
def test_there_is_always_one_and_never_more_than_may_compute(
    cores: dict[int, int], limits: list[float]
) -> None:
    number = count(cores, limits)
    assert 1 <= number <= max(1, len(cores))
    assert all(number <= max(1, limit) for limit in limits)


def test_quotas_of_version_2_count_from_all_groups_above(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/inner\n",
            "sys/fs/cgroup/box/inner/cpu.max": "max 100000\n",
            "sys/fs/cgroup/box/cpu.max": "150000 50000\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
        },
    )
    assert sorted(quotas(root)) == [3.0, 4.0]


def test_quotas_of_version_1_count_from_all_groups_above(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/box/inner\n3:memory:/box\n",
            "sys/fs/cgroup/cpu,cpuacct/box/inner/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/box/inner/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        },
    )
    assert quotas(root) == [2.0]
    os.symlink("cpu,cpuacct", root / "sys/fs/cgroup/cpu")
    assert quotas(root) == [2.0]


@pytest.mark.parametrize("text", ["", "much 100000", "100000 0", "max"])
def test_what_is_no_quota_limits_nothing(tmp_path: Path, text: str) -> None:
    root = tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text})
    assert quotas(root) == []
    assert quotas(tmp_path / "elsewhere") == []


def test_two_processors_of_one_core_get_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path, topology({0: (0, 0), 1: (0, 1), 2: (0, 0), 3: (0, 1), 4: (1, 0)}))
    for processors, expected in (({0, 1, 2, 3}, 2), ({0, 2}, 1), ({0, 4}, 2), ({3}, 1)):
        monkeypatch.setattr(threads, "allowed", lambda chosen=frozenset(processors): chosen)
        assert thread_count(root) == expected


@pytest.mark.parametrize(
    ("physical", "allowed", "expected"), [(4, 8, 4), (None, 8, 8), (4, 3, 3), (None, 1, 1), (8, 8, 8)]
)
def test_where_the_system_tells_no_cores_their_number_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, physical: int | None, allowed: int, expected: int
) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 8 if logical else physical)
    monkeypatch.setattr(threads, "allowed", lambda: frozenset(range(allowed)))
    assert thread_count(tmp_path) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_that_may_use_one_processor_gets_one_thread() -> None:
    program = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from mesh.engine.threads import thread_count; print(thread_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"

"""Where a control group can be made, on paper for both versions; what a real one does, where one can be."""

import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from mesh.engine.sandbox import control_groups
from mesh.engine.sandbox.control_groups import ControlGroup, control_group, place, sweep

HAS_GROUPS = pytest.mark.skipif(place() is None, reason="no control group can be made here")
JOIN = "import os, sys; open(sys.argv[1], 'w').write('0'); "
LINGERER = JOIN + "os.fork() or (os.close(1), __import__('time').sleep(0.1))"
WAITER = JOIN + "print(end='.', flush=True); sys.stdin.read()"
HOG = "import sys; open(sys.argv[1], 'w').write('0'); print(len(b'x' * (256 << 20)))"


def machine(root: Path, lines: str, folders: dict[str, str]) -> Path:
    """A machine of whose process the kernel says ``lines``; ``folders`` with their controllers for others."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for folder, controllers in folders.items():
        (root / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / folder / "cgroup.procs").write_text("")
        (root / "sys/fs/cgroup" / folder / "cgroup.subtree_control").write_text(controllers)
    return root


def test_version_2_allows_a_group_beside_the_sidecars(tmp_path: Path) -> None:
    folders = {"app.slice": "cpu memory", "app.slice/mesh.service": ""}
    root = machine(tmp_path, "0::/app.slice/mesh.service\n", folders)
    assert place(root) == (tmp_path / "sys/fs/cgroup/app.slice", 2)


def test_without_the_memory_controller_there_is_no_place(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/app.slice/mesh.service\n", {"app.slice": "cpu pids"})
    assert place(root) is None


def test_version_1_allows_a_group_below_the_sidecars(tmp_path: Path) -> None:
    lines = "8:pids:/\n4:memory:/user\n0::/\n"
    root = machine(tmp_path, lines, {"memory/user": ""})
    assert place(root) == (tmp_path / "sys/fs/cgroup/memory/user", 1)


def test_a_container_that_sees_only_its_own_group_makes_one_there(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:memory:/docker/0123\n", {"memory": ""})
    assert place(root) == (tmp_path / "sys/fs/cgroup/memory", 1)


def test_a_system_without_control_groups_has_no_place(tmp_path: Path) -> None:
    assert place(tmp_path) is None


def test_where_no_group_can_be_made_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "place", lambda: (tmp_path / "gone", 2))
    assert control_group(1 << 30) is None


@pytest.mark.parametrize(("version", "name"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_the_kernels_count_tells_whether_memory_ended_a_process(
    tmp_path: Path, version: int, name: str
) -> None:
    group = ControlGroup(tmp_path, version)
    assert not group.has_ended_a_process
    (tmp_path / name).write_text("oom 3\noom_kill 0\n")
    assert not group.has_ended_a_process
    (tmp_path / name).write_text("oom 3\noom_kill 1\n")
    assert group.has_ended_a_process


def test_what_a_dead_sidecar_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:memory:/\n", {"memory": ""})
    dead = subprocess.Popen([sys.executable, "-ISc", ""])
    dead.wait()
    groups = root / "sys/fs/cgroup/memory"
    stay = {f"mesh-engine-{os.getppid()}-0", "mesh-engine-x-0", f"mesh-engine-{10**20}-0", "other"}
    for name in (f"mesh-engine-{dead.pid}-0", *stay):
        (groups / name).mkdir()
    sweep(root)
    assert {entry.name for entry in groups.iterdir() if entry.is_dir()} == stay


def test_a_dead_sidecar_that_nobody_has_waited_for_is_dead(tmp_path: Path) -> None:
    root = machine(tmp_path, "4:memory:/\n", {"memory": ""})
    with subprocess.Popen([sys.executable, "-ISc", ""]) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        left = root / f"sys/fs/cgroup/memory/mesh-engine-{dead.pid}-0"
        left.mkdir()
        sweep(root)
        assert not left.exists()


@HAS_GROUPS
def test_the_kernel_ends_what_takes_more_than_its_group_has() -> None:
    group = control_group(64 << 20)
    assert group is not None
    try:
        ended = subprocess.run(
            [sys.executable, "-ISc", HOG, str(group.processes)], capture_output=True, check=False, timeout=60
        )
        assert (ended.returncode, group.has_ended_a_process) == (-9, True)
    finally:
        group.remove()
    assert not group.folder.exists()


@HAS_GROUPS
def test_a_group_that_could_not_be_removed_at_once_is_removed_later() -> None:
    group, other = control_group(64 << 20), control_group(64 << 20)
    assert group is not None
    assert other is not None
    with subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE) as still_there:
        group.processes.write_text(str(still_there.pid))
        group.remove()
        still_there.communicate(b"\n")
    sweep()
    assert (group.folder.exists(), other.folder.exists()) == (False, True)
    other.remove()
    assert not other.folder.exists()


@HAS_GROUPS
def test_a_group_whose_last_process_is_ending_is_removed() -> None:
    group = control_group(64 << 20)
    assert group is not None
    with subprocess.Popen([sys.executable, "-ISc", LINGERER, str(group.processes)], stdout=PIPE) as starter:
        assert starter.stdout is not None
        starter.stdout.read()
    group.remove()
    assert not group.folder.exists()


@HAS_GROUPS
def test_a_group_in_which_a_process_lives_stays() -> None:
    group = control_group(64 << 20)
    assert group is not None
    command = [sys.executable, "-ISc", WAITER, str(group.processes)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        it.stdout.read(1)
        group.remove()
        assert group.folder.exists()
        it.stdin.close()
    group.remove()
    assert not group.folder.exists()

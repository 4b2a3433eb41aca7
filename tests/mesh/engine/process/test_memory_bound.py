"""An engine has the memory that it may have, by a control group or without, and the reason is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.engine.process import memory_bound
from mesh.engine.process.memory_bound import MemoryBound, memory_of
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.control_groups import place

MIB = 1 << 20
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems bound no memory")
HAS_GROUPS = pytest.mark.skipif(place() is None, reason="no control group can be made here")
TAKE = "data = bytearray(int(__import__('sys').argv[1])); print('taken', flush=True); input()"


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_bound, "control_group", lambda most: None)


def took(size: int, bound: MemoryBound, wanted: Confinement) -> int:
    """The status of a confined program that takes so many bytes."""
    command = bound.applied(wanted).command([sys.executable, "-ISc", TAKE, str(size)])
    ended = subprocess.run(command, capture_output=True, input=b"\n", check=False, timeout=60)
    return ended.returncode


@HAS_GROUPS
@pytest.mark.parametrize("device", [False, True])
def test_a_group_ends_what_takes_too_much(device: bool) -> None:
    bound = MemoryBound("engine", 64 * MIB, "what is lent")
    try:
        assert took(32 * MIB, bound, Confinement(device=device)) == 0
        assert bound.ended() == ""
        assert took(512 * MIB, bound, Confinement(device=device)) == -9
        assert bound.ended() == "engine took more memory than the 64 MiB of what is lent"
    finally:
        bound.close()


@LINUX
def test_without_groups_the_kernel_refuses_a_process_without_accelerator(no_groups: None) -> None:
    bound = MemoryBound("engine", 64 * MIB, "what is lent")
    assert took(32 * MIB, bound, Confinement()) == 0
    assert took(4096 * MIB, bound, Confinement()) == 1


def test_an_accelerators_driver_may_map_what_it_does_not_use(no_groups: None) -> None:
    wanted = Confinement(device=True)
    assert MemoryBound("engine", 64 * MIB, "what is lent").applied(wanted) == wanted


@LINUX
def test_what_a_process_takes_is_looked_at() -> None:
    command = [sys.executable, "-ISc", TAKE, str(100 * MIB)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as taking:
        assert taking.stdout is not None
        taking.stdout.readline()
        assert 100 * MIB <= memory_of(taking.pid) <= 140 * MIB
        less, more = (MemoryBound("engine", size * MIB, "the placement") for size in (60, 200))
        assert more.exceeded(taking.pid) == ""
        assert less.exceeded(taking.pid).endswith("of memory, more than the 60 MiB of the placement")
        taking.communicate(b"\n")
    assert memory_of(taking.pid) == 0


def test_files_that_a_process_has_read_do_not_count() -> None:
    assert memory_of(os.getpid()) < 4096 * MIB


@HAS_GROUPS
def test_a_start_removes_what_earlier_ones_left() -> None:
    bound = MemoryBound("engine", 64 * MIB, "what is lent")
    first, second = (bound.applied(Confinement()).control_group for _ in range(2))
    assert first is not None
    assert second is not None
    bound.close()
    assert [Path(group).exists() for group in (first, second)] == [False, False]
    with subprocess.Popen([sys.executable, "-ISc", "input()"], stdin=subprocess.PIPE) as ending:
        left = bound.applied(Confinement()).control_group
        assert left is not None
        Path(left).write_text(str(ending.pid))
        bound.close()
        assert Path(left).exists()
        ending.communicate(b"\n")
    bound.applied(Confinement())
    bound.close()
    assert not Path(left).exists()

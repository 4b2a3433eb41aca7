"""A control group that lets what is in it compute for a share of the time alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.engine.sandbox.control_groups import ControlGroup

_TOP = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds
_END_SECONDS = 5.0


@contextmanager
def quota(processors: float) -> Iterator[ControlGroup]:
    """A group with the time of so many processors; the test is skipped where none can be made.

    A lab's namespaces hide control groups: hosts that are put into one are addresses of loopback.
    """
    parent, version = _place()
    group = ControlGroup(parent / f"mesh-test-{os.getpid()}", version)
    try:
        group.folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        micros = int(processors * _PERIOD)
        if version == 2:
            (group.folder / "cpu.max").write_text(f"{micros} {_PERIOD}")
        else:
            (group.folder / "cpu.cfs_period_us").write_text(str(_PERIOD))
            (group.folder / "cpu.cfs_quota_us").write_text(str(micros))
        yield group
    finally:
        group.remove(_END_SECONDS)


def inside(group: ControlGroup, argv: Sequence[str | Path]) -> list[str]:
    """The command that runs ``argv`` in the group."""
    return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group.processes), *map(str, argv)]


def _place() -> tuple[Path, int]:
    for name in ("cpu", "cpu,cpuacct"):
        if (_TOP / name / "cgroup.procs").exists():
            return _TOP / name, 1
    controllers = _TOP / "cgroup.subtree_control"
    if controllers.exists() and "cpu" in controllers.read_text().split():
        return _TOP, 2
    pytest.skip("control groups bound no processors here")

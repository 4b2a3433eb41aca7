"""A process takes as many files as it may, keeps out of dumps, and tells the error that is for a person."""

import resource
import subprocess
import sys

import pytest

from mesh.runtime.process import MAX_FILES, root_cause
from mesh.wire.errors import MeshError

PROGRAM = """
import resource
from mesh.runtime.process import allow_many_files
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
allow_many_files()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("soft", "hard", "then"), [(256, 512, 512), (256, MAX_FILES, MAX_FILES)])
def test_the_limit_of_files_is_raised_as_far_as_it_may_be(soft: int, hard: int, then: int) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed != resource.RLIM_INFINITY and allowed < hard:
        pytest.skip("this system allows fewer")
    program = PROGRAM.format(soft=soft, hard=hard)
    assert int(subprocess.check_output([sys.executable, "-c", program])) == then


LIMIT = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)"
SECRETIVE = f"""
import subprocess, sys
from mesh.runtime.process import keep_out_of_dumps
keep_out_of_dumps()
{LIMIT}
subprocess.run([sys.executable, "-c", {LIMIT!r}])
"""


def test_neither_a_process_that_keeps_out_of_dumps_nor_its_children_write_core_files() -> None:
    assert subprocess.check_output([sys.executable, "-c", SECRETIVE]).split() == [b"0"] * 4


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_process_that_keeps_out_of_dumps_can_be_looked_into_by_root_alone() -> None:
    program = SECRETIVE + "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    assert subprocess.check_output([sys.executable, "-c", program]).split()[-1] == b"0"


def test_an_error_on_its_own_is_its_cause() -> None:
    error = ValueError()
    assert root_cause(error) is error


def test_of_a_group_the_error_for_a_person_is_told_else_the_first() -> None:
    told = MeshError("the port is taken")
    first = ValueError()
    assert root_cause(ExceptionGroup("", [first, ExceptionGroup("", [KeyError(), told])])) is told
    assert root_cause(ExceptionGroup("", [first, KeyError()])) is first

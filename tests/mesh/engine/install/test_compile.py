import subprocess
from pathlib import Path

import pytest

from mesh.engine.install.compile import explain_failure, tool

LOG = Path("/cache/engine/x/build.log")


@pytest.mark.parametrize("name", ["cmake", "ninja"])
def test_the_wheels_tools_are_found_without_the_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    done = subprocess.run([tool(name), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout[0].isdigit() or "version" in done.stdout


def test_the_first_error_is_what_is_told() -> None:
    lines = ["[1/2] CXX a.o", "FAILED: a.o", "a.cpp:3: error: no int", "ninja: error: stopped"]
    message, hint = explain_failure("compiling", 1, lines, LOG)
    assert message == "compiling failed: a.cpp:3: error: no int"
    assert str(LOG) in hint


def test_of_an_error_of_cmake_the_words_are_told_and_not_the_place() -> None:
    lines = [
        "CMake Error at ggml/CMakeLists.txt:270 (message):",
        "  CUDA Toolkit not found",
        "",
        "-- incomplete",
    ]
    assert explain_failure("configuring", 1, lines, LOG)[0] == "configuring failed: CUDA Toolkit not found"
    assert "CMake Error" in explain_failure("configuring", 1, lines[:1], LOG)[0]


@pytest.mark.parametrize(
    ("code", "lines", "what"),
    [
        (1, ["x.cpp: fatal error: cannot write: No space left on device"], "the disk is full"),
        (1, ["g++: fatal error: Killed signal terminated program cc1plus"], "for want of memory"),
        (-9, [], "for want of memory"),
        (1, ["strange"], "failed: strange"),
        (1, [], "no output"),
    ],
)
def test_failures_are_explained(code: int, lines: list[str], what: str) -> None:
    message, hint = explain_failure("compiling", code, lines, LOG)
    assert what in message
    assert hint

"""Compares the program that runs as the sidecar with the installed one: the one that a command runs."""

import re

from mesh.control.operations import Problem, Program, Status
from mesh.runtime.program_build import build, digest, version


def with_installed(status: Status) -> Status:
    """A sidecar's status with the installed program, and a problem where that is not the one that runs.

    The sidecar may be of an older version, whose status lacks both ``running`` and ``problems``.
    """
    running = status.get("running", {"version": status["version"], "build": ""})
    installed = _installed(running)
    found = difference(installed, running)
    problems = [*status.get("problems", []), *([] if found is None else [found])]
    return {**status, "running": running, "installed": installed, "problems": problems}


def difference(installed: Program, running: Program) -> Problem | None:
    """The problem that the installed program is newer than the running one, or another build of it."""
    if installed == running:
        return None
    # A sidecar that names no build is of before there were any, whatever the version's number says.
    newer = not running["build"] or _numbers(installed["version"]) > _numbers(running["version"])
    here, there = (program["build"] or program["version"] for program in (installed, running))
    return {
        "code": "newer_installed" if newer else "other_build",
        "member": None,
        "message": f"the installed program ({here}) is "
        + (f"newer than the one that runs ({there})" if newer else f"not the one that runs ({there})"),
        "hint": "run it: mesh restart",
    }


def _installed(running: Program) -> Program:
    """The program of this process. Only if its sources differ is the version looked up: that takes 20 ms."""
    if running["build"].endswith(f"+{digest()}"):
        return running
    return {"version": version(), "build": build()}


def _numbers(version: str) -> tuple[int, ...]:
    """``0.10.2`` as numbers to compare."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0]))

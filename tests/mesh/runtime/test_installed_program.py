from typing import Any

import pytest

from mesh.runtime.installed_program import difference, with_installed
from mesh.runtime.program_build import build, version
from tests.mesh.cli import examples


def shown(**changes: Any) -> Any:
    return with_installed(examples.status(**changes))  # type: ignore[arg-type]


def test_the_same_program_is_no_problem() -> None:
    status = shown()
    assert status["installed"] == status["running"] == {"version": version(), "build": build()}
    assert status["problems"] == []


def test_another_build_of_the_version_is_named_with_the_command_that_runs_it() -> None:
    status = shown(running={"version": version(), "build": f"{version()}+00000000"})
    assert status["installed"] == {"version": version(), "build": build()}
    assert status["problems"] == [
        {
            "code": "other_build",
            "member": None,
            "message": f"the installed program ({build()}) is not the one that runs ({version()}+00000000)",
            "hint": "run it: mesh restart",
        }
    ]


@pytest.mark.parametrize(
    ("installed", "running", "code"),
    [
        ("0.2.0", "0.1.0", "newer_installed"),
        ("0.10.0", "0.9.1", "newer_installed"),
        ("0.1.0", "0.2.0", "other_build"),
        ("0.1.0+local2", "0.1.0+local1", "other_build"),
    ],
)
def test_a_higher_version_is_said_to_be_newer(installed: str, running: str, code: str) -> None:
    problem = difference(
        {"version": installed, "build": f"{installed}+11111111"},
        {"version": running, "build": f"{running}+22222222"},
    )
    assert problem is not None
    assert problem["code"] == code
    assert ("is newer than the one" in problem["message"]) is (code == "newer_installed")


@pytest.mark.parametrize("running", ["0.0.9", version()])
def test_the_status_of_an_older_sidecar_is_completed(running: str) -> None:
    old = examples.status(version=running)
    del old["running"], old["problems"]
    status = with_installed(old)  # type: ignore[arg-type]
    assert status["running"] == {"version": running, "build": ""}
    [problem] = status["problems"]
    assert problem["code"] == "newer_installed"
    assert problem["message"].endswith(f"is newer than the one that runs ({running})")


def test_what_the_sidecar_found_stays_in_front() -> None:
    found = {"code": "older_member", "member": examples.BETA, "message": "", "hint": ""}
    running = {"version": version(), "build": ""}
    assert [one["code"] for one in shown(running=running, problems=[found])["problems"]] == [
        "older_member", "newer_installed"
    ]  # fmt: skip

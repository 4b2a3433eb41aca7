"""Each cause for which a machine has no cells has a hint that takes it away."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.tools.cell_hints import (
    APPARMOR,
    CLONE,
    MOST_NETWORKS,
    MOST_USERS,
    Surroundings,
    hint,
    look,
)

PYTHON = "/usr/bin/python3.12"


@pytest.mark.parametrize(
    ("found", "helps"),
    [
        (Surroundings({CLONE: 0}), "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        (Surroundings({APPARMOR: 1}), "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
        (Surroundings({APPARMOR: 1}), "sudo tee /etc/apparmor.d/frankenstein-mesh"),
        (Surroundings({MOST_USERS: 0}), "sudo sysctl -w user.max_user_namespaces="),
        (Surroundings({MOST_NETWORKS: 0}), "sudo sysctl -w user.max_net_namespaces="),
        (Surroundings({MOST_NETWORKS: 0}, root=True, admin=True), "user.max_net_namespaces="),
        (Surroundings(namespaces=False), "another kernel"),
        (Surroundings(container=True), "--security-opt seccomp=unconfined"),
        (Surroundings(container=True, root=True), "--cap-add=SYS_ADMIN"),
        (Surroundings(root=True), "CapabilityBoundingSet="),
        (Surroundings(filtered=True), "RestrictNamespaces=no"),
        (Surroundings(), "unshare --user"),
    ],
)
def test_a_cause_has_what_takes_it_away(found: Surroundings, helps: str) -> None:
    assert helps in hint(found, PYTHON)


def test_of_several_causes_each_is_named() -> None:
    said = hint(Surroundings({CLONE: 0, APPARMOR: 1, MOST_USERS: 0}, filtered=True), PYTHON)
    assert all(name.replace("/", ".") in said for name in (CLONE, APPARMOR, MOST_USERS))
    assert "RestrictNamespaces" not in said, "what surely is in the way comes first"


def test_what_is_as_it_should_be_is_not_named() -> None:
    said = hint(Surroundings({CLONE: 1, APPARMOR: 0, MOST_USERS: 9, MOST_NETWORKS: 9}), PYTHON)
    assert "sysctl" not in said


def test_what_keeps_users_from_namespaces_does_not_keep_root() -> None:
    said = hint(Surroundings({CLONE: 0, APPARMOR: 1, MOST_USERS: 0}, root=True, admin=True), PYTHON)
    assert "sysctl" not in said


@given(name=st.text(st.characters(categories=["L", "N"], include_characters=" '$"), min_size=1))
def test_the_profile_names_the_python_whatever_it_is_called(name: str) -> None:
    said = hint(Surroundings({APPARMOR: 1}), f"/opt/{name}/python3")
    words = shlex.split(said.partition(": ")[2].partition(" | ")[0])
    assert words[0] == "printf"
    assert words[2] == f"/opt/{name}/python3"


def test_the_command_for_apparmor_prints_a_profile() -> None:
    command = hint(Surroundings({APPARMOR: 1}), "/opt/my python").partition(": ")[2].partition(" | ")[0]
    printed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == [
        "abi <abi/4.0>,",
        'profile frankenstein-mesh "/opt/my python" flags=(unconfined) {',
        "  userns,",
        "}",
    ]


def test_a_machine_is_looked_at_where_the_kernel_tells(tmp_path: Path) -> None:
    files = {
        "proc/self/status": "Name:\tmesh\nCapEff:\t0000000000200000\nSeccomp:\t2\n",
        f"proc/sys/{APPARMOR}": "1\n",
        f"proc/sys/{MOST_USERS}": "63000\n",
        "proc/self/ns/user": "",
        "proc/self/ns/net": "",
        "run/.containerenv": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert look(tmp_path) == Surroundings(
        {APPARMOR: 1, MOST_USERS: 63000}, root=os.geteuid() == 0, admin=True, container=True, filtered=True
    )


def test_a_machine_that_tells_nothing_is_looked_at_too(tmp_path: Path) -> None:
    assert look(tmp_path) == Surroundings(namespaces=False, root=os.geteuid() == 0)

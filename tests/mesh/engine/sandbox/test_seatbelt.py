"""The profile for macOS, read as the lists that it is made of; no Mac runs these tests."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.sandbox import launcher
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.isolation import Isolation, isolation
from mesh.engine.sandbox.seatbelt import SANDBOX_EXEC, command, parameters, profile

LLAMA = Confinement(
    seatbelt=True, device=True, connects=(20001, 20002), socket="/tmp/mesh/engine.sock",
    reads=("/models/a.gguf",), writes=("/state/slots",),
)  # fmt: skip
RPC = Confinement(seatbelt=True, listens=(4711,))
FOLDERS = ["/engine", "/engine/lib"]

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
odd_paths = (names | st.sampled_from(['")', '"))(allow default)("', "\\", '\\"', ";", "(", "a=b"])).map(
    lambda name: f"/models/{name}"
)
confinements = st.builds(
    Confinement,
    device=st.booleans(),
    listens=st.lists(st.integers(1, 65535), max_size=2).map(tuple),
    connects=st.lists(st.integers(1, 65535), max_size=2).map(tuple),
    socket=st.none() | odd_paths,
    reads=st.lists(odd_paths, max_size=3).map(tuple),
    writes=st.lists(odd_paths, max_size=2).map(tuple),
    seatbelt=st.just(True),
)

Rule = list["str | Rule"]


def read(text: str) -> list[Rule]:
    """The lists of a profile; fails where a parenthesis is one too many or too few."""
    stack: list[Rule] = [[]]
    for token in re.findall(r'"[^"\\]*"|[()]|[^\s()"\\]+|\S', text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    (top,) = stack
    return [rule for rule in top if isinstance(rule, list)]


def rules(wanted: Confinement, operation: str) -> Iterator[Rule]:
    """The filters of all rules that allow the operation."""
    for rule in read(profile(wanted, len(FOLDERS))):
        if rule[0] == "allow" and operation in rule:
            yield [part for part in rule if isinstance(part, list)]


def test_all_that_is_not_allowed_is_denied() -> None:
    lists = read(profile(LLAMA, 2))
    assert lists[:3] == [["version", "1"], ["deny", "default"], ["import", '"system.sb"']]
    assert {rule[0] for rule in lists[3:]} == {"allow"}


@given(wanted=confinements, folders=st.integers(0, 3))
def test_of_all_operations_only_looking_at_metadata_is_allowed_everywhere(
    wanted: Confinement, folders: int
) -> None:
    everywhere = [rule[1:] for rule in read(profile(wanted, folders))[3:] if not isinstance(rule[-1], list)]
    assert everywhere == [["file-read-metadata"]]


@given(wanted=confinements, program=odd_paths, folders=st.lists(odd_paths, max_size=3))
def test_no_path_is_in_the_profile_and_each_is_the_parameter_that_it_names(
    wanted: Confinement, program: str, folders: list[str]
) -> None:
    text = profile(wanted, len(folders))
    given_paths = parameters(wanted, program, folders)
    assert set(re.findall(r'\(param "(\w+)"\)', text)) == set(given_paths)
    plain = "/models/plain"
    same = Confinement(
        device=wanted.device,
        listens=wanted.listens,
        connects=wanted.connects,
        socket=None if wanted.socket is None else plain,
        reads=(plain,) * len(wanted.reads),
        writes=(plain,) * len(wanted.writes),
    )
    assert text == profile(same, len(folders)), "paths change nothing in it"
    *_, start, argument = command(wanted, program, folders, ["rpc-server", "-H"])
    assert (start, argument) == (program, "-H")


def test_the_program_starts_no_other_and_signals_itself_alone() -> None:
    assert list(rules(LLAMA, "process-exec")) == [[["literal", ["param", '"PROGRAM"']]]]
    assert list(rules(LLAMA, "signal")) == [[["target", "self"]]]
    assert "process-fork" not in profile(LLAMA, 2)


def test_it_writes_to_its_slots_and_makes_files_beside_its_socket_alone() -> None:
    assert list(rules(LLAMA, "file-write-data")) == [[["subpath", ["param", '"WRITE_0"']]]]
    assert list(rules(LLAMA, "file-write*")) == [[["subpath", ["param", '"SOCKET_FOLDER"']]]]
    assert parameters(LLAMA, "/engine/llama-server", FOLDERS)["SOCKET_FOLDER"] == "/tmp/mesh"
    assert "file-write" not in profile(RPC, 2)


def test_it_listens_and_connects_on_this_machine_where_it_was_told_to() -> None:
    socket = [["local", "unix-socket", ["path-literal", ["param", '"SOCKET"']]]]
    assert list(rules(LLAMA, "network-inbound")) == list(rules(LLAMA, "network-bind")) == [socket]
    assert list(rules(LLAMA, "network-outbound")) == [
        [["remote", "ip", '"localhost:20001"']],
        [["remote", "ip", '"localhost:20002"']],
    ]
    assert list(rules(RPC, "network-inbound")) == [[["local", "ip", '"localhost:4711"']]]
    assert list(rules(RPC, "network-outbound")) == []
    assert "unix" not in profile(RPC, 2)


def test_metal_is_there_for_what_drives_an_accelerator() -> None:
    assert list(rules(LLAMA, "iokit-open"))
    assert not list(rules(RPC, "iokit-open"))
    assert not list(rules(RPC, "mach-lookup"))


def test_the_launcher_becomes_sandbox_exec_with_real_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "rpc-server").touch(mode=0o755)
    became: list[list[str]] = []
    monkeypatch.setattr(launcher, "become_confined", lambda given, program: None)
    monkeypatch.setattr(os, "execv", lambda program, argv: became.append([program, *argv]))
    kept = Confinement(seatbelt=True, reads=(f"{tmp_path}/link/model",), listens=(4711,))
    link = f"{tmp_path}/link/rpc-server"
    launcher.main([kept.command([link])[4], link, "-p", "4711"])
    ((program, *argv),) = became
    assert program == argv[0] == SANDBOX_EXEC
    assert argv[-3:] == [f"{tmp_path}/real/rpc-server", "-p", "4711"]
    assert f"READ_0={tmp_path}/real/model" in argv
    assert f"FOLDER_0={tmp_path}/real" in argv
    assert "FOLDER_0=/usr" not in argv


@pytest.mark.skipif(os.path.exists(SANDBOX_EXEC), reason="this machine has it")
def test_a_mac_without_it_does_without_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    without = isolation.__wrapped__()
    assert not without.seatbelt
    assert SANDBOX_EXEC in without.why_no_cells
    assert not without.applied(Confinement(), 0).seatbelt


def test_a_mac_that_takes_the_profile_confines_engines_unless_told_not_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(
        subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 0, stdout="", stderr="")
    )
    assert isolation.__wrapped__() == Isolation(False, seatbelt=True)
    assert isolation.__wrapped__().applied(Confinement(), 0).seatbelt
    monkeypatch.setenv("MESH_SEATBELT", "off")
    assert isolation.__wrapped__() == Isolation(False, why_no_cells="MESH_SEATBELT is off")

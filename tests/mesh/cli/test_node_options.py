"""One declaration makes an option of a node: the toy is named nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mesh.cli import node_options
from mesh.cli.main import load_command, options_of
from mesh.control import sidecar_options
from mesh.control.sidecar_options import NodeOptions, SidecarOptions
from mesh.runtime.effective_options import settle
from mesh.runtime.state import StateDir


def _colour(text: str) -> str:
    if text not in ("red", "blue"):
        raise ValueError(f"{text!r} is no colour")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class WithToys(NodeOptions):
    wall_colour: str = field(default="blue", metadata=sidecar_options._cli("paint it", "C", _colour))
    varnish: bool = field(default=True, metadata=sidecar_options._cli("and varnish it (yes)"))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    monkeypatch.setattr(sidecar_options, "NodeOptions", WithToys)
    return StateDir(tmp_path)


def asked(
    state: StateDir,
    command: str,
    *argv: str,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> SidecarOptions:
    """The options of a command, from all their sources."""
    options = options_of(command, load_command(command))
    args = options.parser.parse_args(argv)
    options.complete(args, command, config or {}, environment or {})
    return node_options.sidecar_options(args, str(state.path))


def test_it_is_read_from_the_command_line_a_variable_and_the_file(state: StateDir) -> None:
    red = {"wall_colour": "red", "varnish": False}
    assert asked(state, "join", "--wall-colour", "red", "--no-varnish").given == red
    environment = {"MESH_WALL_COLOUR": "red", "MESH_VARNISH": "no"}
    assert asked(state, "join", environment=environment).given == red
    assert asked(state, "join", config={"wall-colour": "red", "join": {"no-varnish": True}}).given == red
    assert asked(state, "join").given == {}


def test_help_shows_it_and_nonsense_is_refused(state: StateDir, capsys: pytest.CaptureFixture[str]) -> None:
    shown = options_of("join", load_command("join")).parser.format_help()
    assert "--wall-colour C" in shown
    assert "paint it" in shown
    with pytest.raises(Exception, match="--wall-colour: 'green' is no colour"):
        asked(state, "join", "--wall-colour", "green")


def test_help_leaves_out_what_is_rare_and_yet_it_is_read(state: StateDir) -> None:
    assert "--ask-" not in options_of("join", load_command("join")).parser.format_help()
    config = {"ask-queued": 8, "join": {"ask-limits-owners": True}}
    started = asked(state, "join", config=config, environment={"MESH_ASK_IN_FLIGHT": "4"})
    assert started.given == {"ask_queued": 8, "ask_limits_owners": True, "ask_in_flight": 4}
    assert asked(state, "sidecar", *node_options.as_arguments(started)) == started


def test_it_is_passed_on_to_the_sidecar(state: StateDir) -> None:
    started = asked(state, "join", "--wall-colour=red", "--no-varnish", "--port=0")
    arguments = node_options.as_arguments(started)
    assert arguments == ["--port=0", "--wall-colour=red", "--no-varnish"]
    assert asked(state, "sidecar", *arguments) == started


def test_it_has_effect_and_is_remembered(state: StateDir) -> None:
    assert settle(asked(state, "sidecar"), state).values()["wall_colour"] == "blue"
    settle(asked(state, "sidecar", "--wall-colour=red"), state)
    assert state.load("settings")["wall_colour"] == "red"
    again = settle(asked(state, "sidecar", "--no-varnish"), StateDir(state.path))
    assert isinstance(again, WithToys)
    assert (again.wall_colour, again.varnish) == ("red", False)

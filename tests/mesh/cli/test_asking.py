"""What commands share: which sidecar is asked, and how the command line is written for people to copy."""

import argparse
from pathlib import Path

import pytest

from mesh.cli.asking import ask_sidecar, invocation, state_of
from mesh.control import paths
from mesh.control.control_errors import Evicted, NotRunning
from mesh.control.operations import STATUS


def _args(state_dir: Path | str | None) -> argparse.Namespace:
    return argparse.Namespace(state_dir=None if state_dir is None else str(state_dir))


def test_without_a_sidecar_the_question_fails_with_what_to_do(state_dir: Path) -> None:
    with pytest.raises(NotRunning, match="no sidecar is running") as caught:
        ask_sidecar(_args(state_dir), STATUS.request({}))
    assert not isinstance(caught.value, Evicted)
    assert "mesh join" in caught.value.hint


def test_where_an_evicted_node_left_its_reason_that_is_told(state_dir: Path) -> None:
    Path(paths.eviction_path(str(state_dir))).write_text("anna evicted it" + "!" * 1000)
    with pytest.raises(Evicted, match="anna evicted it") as caught:
        ask_sidecar(_args(state_dir), STATUS.request({}))
    assert len(caught.value.message) == 500
    assert "mesh leave --purge" in caught.value.hint


def test_the_state_directory_is_the_one_that_the_command_line_names(state_dir: Path) -> None:
    assert state_of(_args(state_dir)) == str(state_dir.resolve())


def test_a_line_to_copy_names_the_state_directory_where_it_is_not_known_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert invocation(_args(None)) == "mesh"
    assert invocation(_args("/srv/two words")) == "mesh --state-dir '/srv/two words'"
    monkeypatch.setenv("MESH_STATE_DIR", "/srv/two words")
    assert invocation(_args("/srv/two words")) == "mesh"

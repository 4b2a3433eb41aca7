"""What a node runs with: what was given now, else the last time, else the defaults."""

from pathlib import Path

import pytest

from mesh.control.sidecar_options import DEFAULT_API_PORT, DEFAULT_PORT, SidecarOptions
from mesh.runtime.effective_options import settle
from mesh.runtime.state import StateDir
from mesh.wire.errors import MeshError


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return StateDir(tmp_path)


def given(state: StateDir, **options: object) -> SidecarOptions:
    return SidecarOptions(state.path, given=options)


def test_nothing_given_means_the_defaults(state: StateDir) -> None:
    effective = settle(given(state), state)
    assert (effective.port, effective.api_port) == (DEFAULT_PORT, DEFAULT_API_PORT)
    assert (effective.work, effective.lead) == (True, True)
    assert (effective.memory, effective.bind, effective.listen, effective.api_key) == (None, None, None, None)
    assert effective.name
    assert "." not in effective.name


def test_what_was_given_is_kept_for_the_next_start(state: StateDir) -> None:
    settle(given(state, name="attic", memory=60 << 20, lead=False, port=0, tailscaled_socket="off"), state)
    again = settle(given(state), StateDir(state.path))
    assert (again.name, again.memory, again.lead, again.port) == ("attic", 60 << 20, False, 0)
    assert again.tailscaled_socket == "off"


def test_what_is_given_now_wins_over_the_last_time(state: StateDir) -> None:
    settle(given(state, name="attic", work=False), state)
    assert settle(given(state, name="cellar", work=True), state).name == "cellar"
    assert settle(given(state), state).work


def test_the_api_is_opened_to_the_network_with_a_key_only(state: StateDir, tmp_path: Path) -> None:
    with pytest.raises(MeshError, match="needs a key") as caught:
        settle(given(state, listen="0.0.0.0"), state)
    assert "--api-key" in caught.value.hint
    assert settle(given(state), state).listen is None, "a refused option is not remembered"
    key = tmp_path / "key"
    key.write_text("open-sesame-0123")
    key.chmod(0o644)
    with pytest.raises(MeshError, match="others can read"):
        settle(given(state, listen="0.0.0.0", api_key=str(key)), state)
    key.chmod(0o600)
    assert settle(given(state, listen="0.0.0.0", api_key=str(key)), state).api_key == str(key)


def test_the_values_are_plain_json_and_name_the_keys_file_alone(state: StateDir, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("very secret")
    values = settle(given(state, api_key=str(tmp_path / "key")), state).values()
    assert values["api_key"] == str(tmp_path / "key")
    assert "very secret" not in str(values)
    assert state.load("settings") == {**values, "log_format": "text"}

"""What people get wrong, and what they are told."""

from pathlib import Path

import pytest

from tests.e2e.pools import JOIN, found, join, make_model
from tests.lab.host import Host
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")


def fails(host: Host, *arguments: str | Path, code: int = 1) -> str:
    """Run a mesh command that must fail; what it says on stderr, which is no traceback."""
    result = host.mesh(*arguments, check=False, timeout=90)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "mesh: " in result.stderr
    return result.stderr


def test_without_a_pool_every_command_says_how_to_join(lab: Lab, tmp_path: Path) -> None:
    anna = lab.host()
    model = make_model(tmp_path, size=4_000_000)
    for command in (["status"], ["members"], ["stop"], ["invite"], ["serve", model], ["leave"]):
        assert "mesh join" in fails(anna, *command, code=3)
    assert anna.mesh_json("status", check=False)["error"]["code"] == "not_joined"


def test_files_that_are_no_model_are_named_as_such(lab: Lab, tmp_path: Path) -> None:
    anna = lab.host()
    found(anna)
    text = tmp_path / "notes.gguf"
    text.write_text("not a model")
    assert "no GGUF file" in fails(anna, "serve", text)
    whole = make_model(tmp_path, size=8_000_000)
    truncated = tmp_path / "truncated.gguf"
    truncated.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "missing" in fails(anna, "serve", truncated)
    assert "No such file" in fails(anna, "serve", tmp_path / "absent.gguf")


def test_a_model_larger_than_the_pool_is_refused_with_what_is_missing_and_offered(
    lab: Lab, tmp_path: Path
) -> None:
    anna, bert = lab.hosts(2)
    join(bert, found(anna))
    said = fails(anna, "serve", make_model(tmp_path, size=400_000_000))
    assert "are missing" in said
    assert "anna 62.0 MiB" in said
    assert "bert 62.0 MiB" in said


def test_tokens_that_are_wrong_or_expired_or_used_up_say_so(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna)
    assert "not a whole mesh token" in fails(bert, "join", token[:-4], *JOIN)
    short = anna.mesh_json("invite", "--expires", "1s")["token"]
    once = anna.mesh_json("invite", "--uses", "1")["token"]
    join(bert, once)  # which takes longer than the other lasts
    assert "expired" in fails(cara, "join", short, *JOIN)
    assert "used up" in fails(cara, "join", once, *JOIN)
    assert bert.status()["members"]
    assert cara.sidecar() is None, "a failed join leaves no sidecar behind"


def test_an_invite_whose_issuer_is_away_says_who_is_needed(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    join(bert, found(anna))
    token = anna.mesh_json("invite")["token"]
    door = bert.status()["self"]["address"]
    anna.kill_sidecar().wait(5)
    said = fails(cara, "join", door, "--token", token, *JOIN)
    assert "only anna, its issuer, can redeem the invite" in said
    assert "ask another owner" in said


def test_a_token_is_not_shown_to_another_pool(lab: Lab) -> None:
    anna, bert, cara = lab.hosts(3)
    token = found(anna)
    found(bert)
    door = bert.status()["self"]["address"]
    assert "another pool than the token" in fails(cara, "join", door, "--token", token, *JOIN)


def test_a_second_join_changes_nothing_and_another_pool_needs_leaving_first(lab: Lab) -> None:
    anna, bert = lab.hosts(2)
    token = found(anna)
    first = anna.status()
    again = anna.mesh("join", *JOIN).stdout
    assert "already" in again
    assert token in again
    assert anna.status()["pool"] == first["pool"]
    elsewhere = found(bert)
    assert "leave" in fails(anna, "join", elsewhere)


def test_a_port_that_is_taken_is_named_with_the_way_out(lab: Lab) -> None:
    anna = lab.host()
    with anna.socket() as taken:
        taken.bind((anna.address, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = fails(anna, "join", "--found", *JOIN, "--bind", anna.address, "--port", port)
    assert f"port {port} is taken" in said
    assert "--port" in said

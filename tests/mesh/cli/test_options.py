from pathlib import Path

import pytest

from mesh.control import paths
from tests.mesh.cli.conftest import FakeSidecar, Terminal

INVITED = {"token": "mesh1:x", "rights": ["work"], "expires": 60.0, "uses": 1}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file that MESH_CONFIG names; with nothing in it yet."""
    file = tmp_path / "config.toml"
    file.touch()
    monkeypatch.setenv("MESH_CONFIG", str(file))
    return file


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


async def uses(mesh: Terminal, sidecar: FakeSidecar, *argv: str) -> int:
    """How many uses an invite gets, to see which source an option was read from."""
    sidecar.answers["invite"] = INVITED
    outcome = await mesh("invite", *argv)
    assert outcome.code == 0, outcome.err
    number = sidecar.asked[-1][1]["uses"]
    assert isinstance(number, int)
    return number


async def test_the_command_line_comes_before_the_environment_the_file_and_the_default(
    mesh: Terminal, sidecar: FakeSidecar, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await uses(mesh, sidecar) == 1
    write(config, "uses = 2")
    assert await uses(mesh, sidecar) == 2
    write(config, "uses = 2\n[invite]\nuses = 3")
    assert await uses(mesh, sidecar) == 3
    monkeypatch.setenv("MESH_USES", "4")
    assert await uses(mesh, sidecar) == 4
    assert await uses(mesh, sidecar, "--uses", "5") == 5


async def test_the_usual_place_of_the_file_is_read_too(mesh: Terminal, sidecar: FakeSidecar) -> None:
    write(Path(paths.config_path()), "uses = 7")
    assert await uses(mesh, sidecar) == 7


async def test_another_file_can_be_named(mesh: Terminal, sidecar: FakeSidecar, tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    write(file, "uses = 8")
    assert await uses(mesh, sidecar, "--config", str(file)) == 8


async def test_lists_and_tables_of_the_file_are_what_commas_are_on_the_command_line(
    mesh: Terminal, sidecar: FakeSidecar, config: Path
) -> None:
    write(config, 'rights = ["lead", "work"]\n[plan.layers]\nalpha = 3\nbeta = 1')
    await uses(mesh, sidecar)
    assert sidecar.asked[-1][1]["rights"] == ["work", "lead"]
    await mesh("plan")
    assert sidecar.asked[-1][1]["layers"] == {"alpha": 3, "beta": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("usse = 2", "no command has an option 'usse'"),
        ("[invite]\nwait = true", "mesh invite has no option 'wait'"),
        ("[serve]\nwiat = true", "mesh serve has no option 'wiat'"),
        ("uses = 'many'", "uses: 'many' is not a whole number"),
        ("json = 'perhaps'", "json: 'perhaps' is neither true nor false"),
        ("uses = ", "is no TOML"),
        ("log-format = 'xml'", "log-format: 'xml' is none of text, json"),
    ],
)
def test_a_file_that_says_nonsense_is_a_usage_error(
    mesh: Terminal, config: Path, content: str, said: str
) -> None:
    write(config, content)
    outcome = mesh.run("invite")
    assert outcome.code == 2
    assert said in outcome.err


def test_options_of_other_commands_may_stand_in_the_file(mesh: Terminal, config: Path) -> None:
    write(config, "wait = true\nno-work = true\n[serve]\nctx = 512")
    assert mesh.run("status").code == 3


def test_a_file_that_was_named_must_be_there(mesh: Terminal, tmp_path: Path) -> None:
    outcome = mesh.run("--config", str(tmp_path / "none.toml"), "status")
    assert outcome.code == 2
    assert "cannot read the configuration" in outcome.err


def test_nonsense_in_a_variable_is_a_usage_error_that_names_it(
    mesh: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_EXPIRES", "soon")
    outcome = mesh.run("invite")
    assert outcome.code == 2
    assert "MESH_EXPIRES: 'soon' is not a time" in outcome.err


@pytest.mark.parametrize(
    ("variable", "text", "work"),
    [("MESH_WORK", "0", False), ("MESH_WORK", "yes", True), ("MESH_NO_WORK", "1", False)],
)
def test_a_switch_can_be_turned_either_way_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, work: bool
) -> None:
    from mesh.cli.main import load_command, options_of

    monkeypatch.setenv(variable, text)
    options = options_of("join", load_command("join"))
    args = options.parser.parse_args([])
    options.complete(args, "join", {})
    assert args.work is work


def test_the_state_directory_can_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mesh.cli.main import main

    (tmp_path / "mesh.log").write_text("hello\n")
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    assert main(["logs"]) == 0
    assert "hello" in capsys.readouterr().out

import re

import pytest

from mesh.cli.main import COMMANDS, load_command, main, options_of
from mesh.cli.other_options import HINTS, option_hint
from tests.mesh.cli.conftest import Terminal

COMMANDS_WITH_HINTS = [name for name in HINTS if name]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("serve m.gguf -ngl 99", "--layers does it by hand"),
        ("serve -m m.gguf", "mesh serve MODEL"),
        ("serve m.gguf --ctx-size=8192", "did you mean --ctx? see: mesh serve --help"),
        ("serve m.gguf --port 8080", "mesh status"),
        ("pull -hf OWNER/REPO", "mesh pull MODEL"),
        ("chat --model llama3 hello", "mesh serve MODEL serves another"),
        ("logs --tail 3", "did you mean --lines?"),
        ("-v", "did you mean: mesh --version"),
    ],
)
def test_an_option_of_another_program_leads_to_ours(mesh: Terminal, line: str, told: str) -> None:
    outcome = mesh.run(*line.split())
    assert outcome.code == 2
    assert told in outcome.err
    assert "explicit argument" not in outcome.err


def test_a_model_before_any_command_leads_to_serving_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-hf", "OWNER/REPO"]) == 2
    said = capsys.readouterr().err
    assert "unrecognized arguments: -hf" in said
    assert "mesh serve MODEL --wait" in said


def test_what_no_program_has_leads_nowhere() -> None:
    assert option_hint("serve", ["--quux", "-m"]) is None
    assert option_hint("serve", ["more"]) is None


@pytest.mark.parametrize("name", COMMANDS_WITH_HINTS)
def test_no_option_of_others_hides_one_of_ours(name: str) -> None:
    options = options_of(name, load_command(name))
    ours = {one for action in options.parser._actions for one in action.option_strings}
    assert not HINTS[name].keys() & ours
    for hint in HINTS[name].values():
        told = re.match(r"did you mean (--[a-z-]+)", hint) or re.match(r"(--[a-z-]+)", hint)
        assert told is None or told[1] in ours


def test_every_command_that_is_told_is_one_that_we_have() -> None:
    everything = " ".join(hint for hints in HINTS.values() for hint in hints.values())
    assert set(re.findall(r"mesh ([a-z]+)", everything)) <= COMMANDS.keys()

import pytest

from mesh.cli.main import COMMANDS, load_command, options_of
from mesh.cli.options import UsageError
from mesh.cli.other_words import LINES, NOTES, advice
from tests.mesh.cli.conftest import Terminal

OURS = [name for name, command in COMMANDS.items() if command.summary]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("run llama3", "mesh serve llama3 --wait, then: mesh chat"),
        ("run --ctx 8k llama3", "mesh serve MODEL --wait, then: mesh chat"),
        ("RUN", "mesh serve MODEL --wait, then: mesh chat"),
        ("start", "mesh join, then: mesh serve MODEL --wait"),
        ("connect", "mesh join"),
        ("connect attic", "mesh join attic"),
        ("models pull llama3", "mesh pull llama3"),
        ("kick shed", "mesh evict shed"),
        ("statsu", "did you mean: mesh status"),
        ("hlep", "did you mean: mesh help"),
        ("serach llama3", f"mesh pull llama3 ({NOTES['search']})"),
        ("blah", "see: mesh --help"),
    ],
)
def test_words_of_other_tools_and_mistakes_lead_to_ours(typed: str, told: str) -> None:
    assert advice(typed.split(), OURS) == told


@pytest.mark.parametrize("line", sorted({line for lines in LINES.values() for line in lines}))
def test_every_line_that_is_told_is_one_that_we_have(line: str) -> None:
    name, *rest = line.replace("[", "").replace("]", "").split()
    if name == "--version" or name in ("chat", "pull"):
        return
    try:
        options_of(name, load_command(name)).parser.parse_args(rest)
    except UsageError as error:
        pytest.fail(f"mesh {line}: {error}")


def test_no_word_of_others_hides_one_of_ours() -> None:
    assert not LINES.keys() & COMMANDS.keys()
    assert NOTES.keys() <= LINES.keys()


def test_the_line_to_type_stands_in_the_error_with_the_state_directory(mesh: Terminal) -> None:
    outcome = mesh.run("run", "my model.gguf")
    assert outcome.code == 2
    told = f"mesh --state-dir {mesh.state_dir} "
    assert outcome.err == (
        f"mesh: there is no command 'run'\nhint: {told}serve 'my model.gguf' --wait, then: {told}chat\n"
    )


def test_two_words_of_others_are_told_too_and_values_of_ours_are_left_alone(mesh: Terminal) -> None:
    outcome = mesh.run("models", "pull", "llama3")
    assert outcome.code == 2
    assert "there is no command 'models pull'" in outcome.err
    assert "no sidecar is running" in mesh.run("evict", "pull").err

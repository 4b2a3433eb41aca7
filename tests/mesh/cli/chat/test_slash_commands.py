import pytest

from mesh.cli.chat.slash_commands import SLASH_COMMANDS, SlashCommand, UnknownSlash, read_slash, slash_help


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/new", SlashCommand("new", "")),
        ("/EXIT  ", SlashCommand("exit", "")),
        ("/system Be brief.\nAnd kind.", SlashCommand("system", "Be brief.\nAnd kind.")),
        ("/bye", SlashCommand("exit", "")),
        ("/clear", SlashCommand("new", "")),
        ("/?", SlashCommand("help", "")),
        ("/etc/hosts is what?", None),
        ("/", None),
        ("//new", None),
        (" /new is a command", None),
        ("what is /new?", None),
    ],
)
def test_a_word_behind_a_slash_is_a_command(line: str, command: SlashCommand | None) -> None:
    assert read_slash(line) == command


def test_an_unknown_command_is_told_with_the_nearest_and_all_others() -> None:
    read = read_slash("/sytsem x")
    assert isinstance(read, UnknownSlash)
    assert read.word == "/sytsem"
    assert read.hint.startswith("did you mean /system? ")
    assert all(f"/{name}" in read.hint for name in SLASH_COMMANDS)
    far = read_slash("/xyzzy")
    assert isinstance(far, UnknownSlash)
    assert far.hint.startswith("there are /system")


def test_help_names_every_command_and_key() -> None:
    assert all(f"/{name}" in slash_help() for name in SLASH_COMMANDS)
    assert "Ctrl-D" in slash_help()

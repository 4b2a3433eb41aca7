"""``mesh completion``."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from mesh.cli.options import Options, Parser, UsageError

DESCRIPTION = """\
Print a script that has the shell complete commands, options, their choices and files. It is made from this
program's own options, so make it anew after an upgrade where it is kept in a file."""
EXAMPLE = """\
  mesh completion bash        for good: echo 'eval "$(mesh completion bash)"' >> ~/.bashrc
  mesh completion zsh         for good: echo 'eval "$(mesh completion zsh)"' >> ~/.zshrc, after compinit
  mesh completion fish        for good: mesh completion fish > ~/.config/fish/completions/mesh.fish"""

SHELLS = ("bash", "zsh", "fish")
FILES = ("FILE", "FILE.json", "PATH|off")


def configure(options: Options) -> None:
    options.parser.add_argument(
        "shell", nargs="?", metavar="|".join(SHELLS), help="the shell that is to read it"
    )


def run(args: argparse.Namespace) -> int:
    if args.shell not in SHELLS:
        own = os.path.basename(os.environ.get("SHELL", ""))
        line = f"mesh completion {own if own in SHELLS else 'bash'}"
        shells = f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}"
        if args.shell is None:
            raise UsageError(f"for which shell, {shells}?", line)
        raise UsageError(f"there is no completion for {args.shell!r}, only for {shells}", line)
    import shtab

    # In bash a script that is read twice defines the same functions again, which does no harm.
    print(shtab.complete(command_tree(), shell=args.shell, root_prefix="mesh"))
    return 0


def command_tree() -> argparse.ArgumentParser:
    """A parser of all commands that are for people, whose arguments say how they are completed.

    It is for making scripts; nothing is parsed with it.
    """
    from mesh.cli.main import COMMANDS, add_global_options, fill, load_command

    top = Parser(prog="mesh")
    top.add_argument("--version", action="version", help="tell which program this is")
    add_global_options(Options(top))
    commands = top.add_subparsers()
    names = [name for name, command in COMMANDS.items() if command.summary]
    for name in names:
        parser = commands.add_parser(name, help=COMMANDS[name].summary)
        fill(parser, load_command(name))
        _describe(parser)
    topic = commands.add_parser("help", help="tell more about a command")
    topic.add_argument("topic", nargs="?", choices=names)
    _describe(top)
    return top


def _describe(parser: argparse.ArgumentParser) -> None:
    """Say of each argument of the parser what it takes, as its name for values in help tells."""
    from shtab import DIRECTORY, FILE, glob

    from mesh.cli.option_values import RIGHTS

    kinds: Mapping[str, Any] = {
        "DIR": DIRECTORY,
        **dict.fromkeys(FILES, FILE),
        # The library's own pattern for zsh has parentheses, with which zsh 5.9 completes nothing at all.
        "MODEL": {**glob("*.gguf"), "zsh": "_files -g '*.gguf'"},
    }
    choices = {
        "|".join(SHELLS): SHELLS,
        ",".join(RIGHTS): [",".join(RIGHTS[:count]) for count in range(1, len(RIGHTS) + 1)],
    }
    for action in parser._actions:
        value = str(action.metavar)
        if value in kinds:
            action.complete = kinds[value]  # type: ignore[attr-defined]
        elif value in choices:
            action.choices = choices[value]

"""Options and the sources of their values: the command line, MESH_* variables, the file, the default."""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from mesh.wire.errors import MeshError

ELSEWHERE = "--config FILE or MESH_CONFIG name another one"
WHERE_READ = "it stands in a variable MESH_... or in the configuration file"


_UNKNOWN = "unrecognized arguments: "
_JOINED = re.compile(r"argument (-\w)\b.*: ignored explicit argument '(.*)'")
_ALIKE = 0.65
"""Less than that is no mistyped option: ``--port`` is not ``--slots``."""


class UsageError(MeshError):
    """The command line makes no sense; exit code 2."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises its errors instead of printing them and ending the process."""

    def error(self, message: str) -> NoReturn:
        hint = f"see: {self.prog} --help"
        if joined := _JOINED.fullmatch(message):  # -hf, where -h is known
            message = f"{_UNKNOWN}{joined[1]}{joined[2]}"
        unknown = message.removeprefix(_UNKNOWN)
        if unknown != message:
            from mesh.cli.other_options import option_hint

            if known := option_hint(self.prog.partition(" ")[2], unknown.split()):
                hint = f"{known} {hint}" if known.endswith("?") else known
            elif (near := self._nearest(unknown)) is not None:
                hint = f"did you mean {near}? {hint}"
            elif " " not in self.prog:
                hint = f"the options of a command stand behind it; {hint}"
        raise UsageError(message, hint)

    def _nearest(self, words: str) -> str | None:
        """The option that is most like the first one among ``words``."""
        from difflib import get_close_matches

        typed = next((word.partition("=")[0] for word in words.split() if word.startswith("--")), "")
        shown = [action for action in self._actions if action.help is not argparse.SUPPRESS]
        names = [name for action in shown for name in action.option_strings]
        return next(iter(get_close_matches(typed, names, n=1, cutoff=_ALIKE)), None)


class Option(NamedTuple):
    """One option of a command, as the other sources know it."""

    name: str  # the attribute of the parsed arguments
    keys: tuple[str, ...]  # how it is called, without dashes in front: ("work", "no-work")
    convert: Callable[[str], Any] | None  # None: it is on or off
    default: Any
    choices: tuple[str, ...] | None


class Options:
    """Adds options to a command's parser, and later fills in those that the command line left open."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser
        self.known: list[Option] = []

    def flag(self, *names: str, help: str) -> None:
        """Add an option that is on when it is given."""
        action = self.parser.add_argument(*names, action="store_true", default=argparse.SUPPRESS, help=help)
        self.known.append(Option(action.dest, _keys(action), None, False, None))

    def switch(self, name: str, help: str) -> None:
        """Add ``--NAME`` and ``--no-NAME``; the value is None when neither is given."""
        action = self.parser.add_argument(
            name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help
        )
        self.known.append(Option(action.dest, _keys(action), None, None, None))

    def value(
        self,
        *names: str,
        convert: Callable[[str], Any] = str,
        default: Any = None,
        metavar: str | None = None,
        choices: tuple[str, ...] | None = None,
        help: str,
    ) -> None:
        """Add an option with a value; `convert` raises ValueError with what it expected."""
        action = self.parser.add_argument(
            *names,
            type=_complaining(convert),
            default=argparse.SUPPRESS,
            metavar=metavar,
            choices=choices,
            help=help,
        )
        self.known.append(Option(action.dest, _keys(action), convert, default, choices))

    def keys(self) -> frozenset[str]:
        """The names of all these options."""
        return frozenset(key for option in self.known for key in option.keys)

    def complete(
        self,
        args: argparse.Namespace,
        command: str,
        config: Mapping[str, Any],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Set what the command line did not: from the environment, the file (`config`), or the default."""
        own = config.get(command, {})
        for option in self.known:
            if hasattr(args, option.name):
                continue
            value = option.default
            for table in (config, own):
                value = _from_file(option, table, value)
            for key in option.keys:
                variable = "MESH_" + key.upper().replace("-", "_")
                if environment.get(variable):
                    value = _read(option, key, environment[variable], variable)
            setattr(args, option.name, value)


def load(path: str, required: bool) -> dict[str, Any]:
    """The configuration file at `path`; an absent one is empty, unless it is `required`."""
    if not required and not os.path.exists(path):
        return {}
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}", ELSEWHERE) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the configuration {path} is no TOML: {error}", 'write it like: memory = "8G"'
        ) from None


def check(
    path: str,
    config: Mapping[str, Any],
    keys: Callable[[], Mapping[str, frozenset[str]]],
    known: frozenset[str],
) -> None:
    """Refuse a file with unknown names: a mistyped option would silently have no effect.

    `known` are the options of the present command. `keys()` returns those of each command; it is called only
    if needed.
    """
    strange = [key for key, value in config.items() if isinstance(value, dict) or key not in known]
    if not strange:
        return
    commands = keys()
    everywhere = frozenset().union(*commands.values())
    for key in strange:
        value = config[key]
        if key in commands and isinstance(value, dict):
            wrong = next((inner for inner in value if inner not in commands[key]), None)
            if wrong is not None:
                raise UsageError(f"{path}: mesh {key} has no option {wrong!r}", f"see: mesh {key} --help")
        elif key not in everywhere:
            raise UsageError(f"{path}: no command has an option {key!r}", "see: mesh --help")


def _keys(action: argparse.Action) -> tuple[str, ...]:
    return tuple(name[2:] for name in action.option_strings if name.startswith("--"))


def _complaining(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def converted(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return converted


def _from_file(option: Option, table: Mapping[str, Any], otherwise: Any) -> Any:
    for key in option.keys:
        if key in table and not (isinstance(table[key], dict) and option.convert is None):
            return _read(option, key, table[key], key)
    return otherwise


def _read(option: Option, key: str, value: Any, source: str) -> Any:
    """The value of an option from a variable's text or a TOML value."""
    if option.convert is None:
        inverted = key.startswith("no-") and len(option.keys) > 1
        return _truth(value, source) is not inverted
    if isinstance(value, list):
        value = ",".join(map(str, value))
    elif isinstance(value, dict):
        value = ",".join(f"{name}={inner}" for name, inner in value.items())
    try:
        read = option.convert(str(value))
    except ValueError as error:
        raise UsageError(f"{source}: {error}", WHERE_READ) from None
    if option.choices is not None and read not in option.choices:
        raise UsageError(f"{source}: {read!r} is none of {', '.join(option.choices)}", WHERE_READ)
    return read


def _truth(value: Any, source: str) -> bool:
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"{source}: {value!r} is neither true nor false", WHERE_READ)

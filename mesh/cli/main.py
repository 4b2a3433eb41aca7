"""``mesh``: finds the command, reads its options, runs it, and reports errors in words.

It imports only the module of the given command, and such a module imports what it needs when it runs: ``mesh
status`` has 150 ms.
"""

import argparse
import errno
import os
import resource
import sys
from collections.abc import Sequence
from errno import EDQUOT, EMFILE, ENFILE, ENOMEM, ENOSPC, EROFS
from importlib import import_module
from io import TextIOWrapper
from typing import NamedTuple, Protocol, cast

from mesh.cli.options import Options, Parser, UsageError, check, load
from mesh.wire.errors import MeshError

_OUT_OF = frozenset({ENOSPC, EDQUOT, EROFS, EMFILE, ENFILE, ENOMEM})
DONE, FAILED, USAGE, NOT_JOINED, INTERRUPTED = 0, 1, 2, 3, 130


class Command(NamedTuple):
    """A command's entry in help; one without a summary is not for people and not listed."""

    module: str
    summary: str


COMMANDS = {
    "join": Command("join", "become a member of a pool, or found one"),
    "leave": Command("leave", "leave the pool and end the sidecar"),
    "restart": Command("restart", "end the sidecar and start the installed program, in the same pool"),
    "status": Command("status", "who is in the pool, and what it serves"),
    "members": Command("members", "the members in detail"),
    "serve": Command("serve", "serve a model with the pool"),
    "pull": Command("pull", "download a model that the pool then holds"),
    "stop": Command("stop", "stop serving"),
    "move": Command("move", "move the model to the best placement there is now"),
    "chat": Command("chat", "talk with the model that the pool serves"),
    "models": Command("models", "the models that members hold"),
    "plan": Command("plan", "which layers would go where, and why"),
    "invite": Command("invite", "make the line that lets another machine join"),
    "approve": Command("approve", "let in a machine that waits and shows a code"),
    "evict": Command("evict", "put a member out of the pool for ever"),
    "doctor": Command("doctor", "check what this machine has and lacks"),
    "logs": Command("logs", "what the sidecar and its engine wrote"),
    "demo": Command("demo", "three nodes on this machine, a model, a leader killed in mid-sentence"),
    "completion": Command("completion", "have the shell complete what you type"),
    "sidecar": Command("sidecar", ""),
}

HELP = """\
usage: mesh [--state-dir DIR] [--log-format text|json] [--config FILE] COMMAND ...

Pool idle machines with one command and run models too big for any one of them.

commands:
{commands}

mesh help COMMAND tells more; mesh --version tells which this is.

first steps:
  mesh join                         join the tailnet's pool, or found one here
  mesh join mesh1:...               join with the line that the first machine printed
  mesh serve hf:OWNER/REPO --wait   get a model, or name a file, and split it over the pool
  mesh status                       see where the layers are
  mesh chat                         talk with it

exit codes: 0 done, 1 failed, 2 usage, 3 not joined"""


class Module(Protocol):
    """The contents of each module in mesh.cli.commands."""

    DESCRIPTION: str
    EXAMPLE: str

    def configure(self, options: Options) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def run() -> int:
    """The process ``mesh``: what it and its children make is this user's alone, and no core file is made."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return main()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that this terminal cannot show is no reason to fail
    try:
        prepared = _prepare(arguments)
        code = DONE
        if prepared is not None:
            module, args = prepared
            as_json = getattr(args, "json", False)
            code = module.run(args)
        sys.stdout.flush()
        return code
    except MeshError as error:
        return _explain(error, as_json)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough, as in `mesh status | head -1`; do not flush into the pipe again on exit.
        _give_up_output()
        return FAILED
    except Exception as error:
        if os.environ.get("MESH_DEBUG"):
            raise
        return _explain_mistake(error, as_json)


def _replace_closed_streams() -> None:
    """Where the shell closed one (``mesh status >&-``), what is said on it goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _explain_mistake(error: Exception, as_json: bool) -> int:
    """Say that something went wrong that nobody has words for, but for what the system refuses."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC and error.filename is None:
            _give_up_output()
            full = MeshError(f"cannot write the output: {error.strerror}", "make room where it is sent")
            return _explain(full, as_json)
        if refused := _refused_by_system(error):
            return _explain(refused, as_json)
    mistake = MeshError(f"a mistake in mesh itself: {error!r}", "MESH_DEBUG=1 shows where; please report it")
    return _explain(mistake, as_json)


def _give_up_output() -> None:
    """Let nothing be written to standard output any more, also not when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused_by_system(error: OSError) -> MeshError | None:
    """What this machine has no more of, in words; None for an error that is nobody's but ours."""
    reason = error.strerror or str(error)
    # A full disk is why no folder for temporary files can be used; the library's error has another number.
    if error.errno not in _OUT_OF and not reason.startswith("No usable temporary directory"):
        return None
    where = f"{error.filename}: " if error.filename else ""
    return MeshError(
        f"this machine cannot do it now: {where}{reason[:1].lower()}{reason[1:]}",
        "look at its disks (df) and its limits (ulimit -a), make room, and try again",
    )


def _prepare(arguments: list[str]) -> tuple[Module, argparse.Namespace] | None:
    """The command and its options; None where help or the version was printed."""
    top = Parser(prog="mesh", add_help=False, allow_abbrev=False)
    top.add_argument("-h", "--help", action="store_true")
    top.add_argument("--version", action="store_true")
    add_global_options(Options(top))
    top.add_argument("command", nargs="?")
    top.add_argument("rest", nargs=argparse.REMAINDER)
    found = top.parse_args(arguments)
    if found.version:
        from mesh.runtime.program_build import build, version
        from mesh.wire.versions import SPOKEN

        print(f"mesh {version()}, build {build()}, speaks wire version {SPOKEN}")
        return None
    if found.help and found.command in COMMANDS:
        found.help, found.rest = False, ["--help"]
    if found.command == "help":
        about = [word for word in found.rest if not word.startswith("-")]
        found.command, found.rest = (about or [None])[0], ["--help"]
    if found.help or found.command is None:
        listed = [f"  {name:<10}  {command.summary}" for name, command in COMMANDS.items() if command.summary]
        print(HELP.format(commands="\n".join(listed)))
        return None
    _refuse_words_of_others(found)
    module = load_command(found.command)
    options = options_of(found.command, module)
    args = options.parser.parse_args(found.rest, found)
    _read_other_sources(found.command, options, args)
    return module, args


def load_command(name: str) -> Module:
    """The module of a command."""
    return cast(Module, import_module(f"mesh.cli.commands.{COMMANDS[name].module}"))


def options_of(name: str, module: Module) -> Options:
    """The command's options, including the global ones, on a parser of their own."""
    parser = Parser(
        prog=f"mesh {name}",
        description=module.DESCRIPTION,
        epilog=f"example:\n{module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return fill(parser, module)


def fill(parser: argparse.ArgumentParser, module: Module) -> Options:
    """Add the command's options, including the global ones, to the parser."""
    options = Options(parser)
    module.configure(options)
    add_global_options(options)
    return options


def add_global_options(options: Options) -> None:
    """Add the options that every command takes, before or after its name."""
    options.value("--state-dir", metavar="DIR", help="where this node keeps its state")
    options.value(
        "--log-format", choices=("text", "json"), default="text", help="how the sidecar writes its log"
    )
    options.value("--config", metavar="FILE", help="read options from this TOML file")


def _read_other_sources(command: str, options: Options, args: argparse.Namespace) -> None:
    if command == "sidecar":
        # `mesh join` has read the other sources, in a directory where relative paths mean what they should.
        options.complete(args, command, config={}, environment={})
        return
    from mesh.control import paths

    named = getattr(args, "config", None) or os.environ.get("MESH_CONFIG")
    path = named or paths.config_path()
    config = load(path, required=bool(named))
    if config:
        check(path, config, _all_keys, options.keys())
    options.complete(args, command, config)


def _all_keys() -> dict[str, frozenset[str]]:
    return {name: options_of(name, load_command(name)).keys() for name in COMMANDS}


def _refuse_words_of_others(found: argparse.Namespace) -> None:
    """Raise `UsageError` for what is no command of ours, with the line that is."""
    words = [found.command, *found.rest]
    if found.command in COMMANDS and (len(words) < 2 or words[1].startswith("-")):
        return
    from mesh.cli.asking import invocation
    from mesh.cli.other_words import advice, words_of_others

    named = [found.command]
    if found.command in COMMANDS:
        named = (words_of_others(words) or "").split()
        if len(named) < 2:
            return
    found.state_dir = getattr(found, "state_dir", None)
    people = [name for name, command in COMMANDS.items() if command.summary]
    raise UsageError(f"there is no command {' '.join(named)!r}", advice(words, people, invocation(found)))


def _explain(error: MeshError, as_json: bool) -> int:
    """Print the error, as JSON on standard output if requested, and return the exit code."""
    code = "usage" if isinstance(error, UsageError) else str(getattr(error, "code", "failed"))
    if as_json:
        import json

        print(json.dumps({"error": {"code": code, "message": error.message, "hint": error.hint}}, indent=2))
    else:
        from mesh.cli.terminal import clean, columns, paint, wrapped

        # The hint stays as it is: it may have a command to copy.
        fits, under = columns(sys.stderr), " " * len("mesh: ")
        lines = [wrapped(clean(line), fits, under) for line in error.message.splitlines()]
        message = f"\n{under}".join(lines)
        print(f"{paint('mesh:', 'red', sys.stderr)} {message}", file=sys.stderr)
        if error.hint:
            print(f"{paint('hint:', 'dim', sys.stderr)} {clean(error.hint)}", file=sys.stderr)
    return {"usage": USAGE, "not_joined": NOT_JOINED}.get(code, FAILED)

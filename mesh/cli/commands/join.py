"""``mesh join``."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.cli import node_options, option_values
from mesh.cli.asking import invocation, state_of
from mesh.cli.commands.status import how_others_ask
from mesh.cli.options import Options, UsageError
from mesh.control.operations import INFO, JOIN, SHUTDOWN, JoinArgs, JoinResult
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.spawning import Started
    from mesh.cli.terminal import ProgressBar
    from mesh.control.sidecar_options import SidecarOptions
    from worker.memory_option import MemoryOption

DESCRIPTION = """\
Make this machine a member of a pool, and keep it one: a sidecar goes on in the background.

In this order: the pool it already belongs to; the invite TOKEN; the pool at HOST; a pool on the tailnet that
admits this machine; a pool on the local network; else it founds one. Without an invite a pool on the local
network wants an owner's word: a code is shown, which an owner types after `mesh approve`."""
EXAMPLE = """\
  mesh join                      find a pool, or found one
  mesh join mesh1:...            join with an invite, typed nowhere else: - reads it from standard input
  mesh join --memory 8G --no-lead
  mesh join --memory cuda0=20G,cpu=0     of several devices"""


def configure(options: Options) -> None:
    options.parser.add_argument(
        "target", nargs="?", metavar="TOKEN|-|HOST[:PORT]", help="an invite, or where to ask"
    )
    options.value("--token", metavar="TOKEN", help="the invite; - reads it from standard input")
    options.flag("--found", help="found a pool without searching for one")
    options.flag("--foreground", help="run the sidecar in this process until Ctrl-C")
    options.flag("--no-service", help="install no service")
    node_options.configure(options)


def run(args: argparse.Namespace) -> int:
    request = request_of(args)
    state = state_of(args)
    options = node_options.sidecar_options(args, state, foreground=args.foreground)
    _refuse_too_much_memory(options.given.get("memory"))
    api_key = options.given.get("api_key")
    if api_key is not None and not os.path.isfile(api_key):
        raise MeshError(f"there is no API key at {api_key}", "write one word into that file")
    if args.foreground:
        _hide_token(request)
        return _in_foreground(args, options, request)
    print(summary(_in_background(options, request), invocation(args)))
    return 0


def request_of(args: argparse.Namespace) -> JoinArgs:
    """The request to the sidecar. Raises `UsageError` on contradictions."""
    request: JoinArgs = {}
    token, target = args.token, args.target
    if target is not None and (target == "-" or option_values.is_token(target)):
        if token is not None:
            raise UsageError("there are two invites", "give one, behind mesh join or after --token")
        token = target
    elif target is not None:
        request["host"] = _valid(option_values.host, target)
    if token is not None:
        request["token"] = _valid(option_values.token, sys.stdin.readline() if token == "-" else token)
    if args.found:
        if request:
            raise UsageError(
                "--found founds a new pool, so it takes no invite and no host", "leave one of them out"
            )
        request["found"] = True
    if sys.stdin.isatty() and sys.stderr.isatty():
        request["terminal"] = True
    return request


def summary(result: JoinResult, command: str, member: str = "already in pool") -> str:
    """The summary for a person whose machine is a member now; ``member`` are the words if it was before."""
    from mesh.cli.terminal import clean, count, fields, paint

    pool = paint(clean(result["pool"]["name"]), "bold")
    head = {"founded": "founded pool", "joined": "joined pool", "member": member}[result["how"]]
    engine, me, leader = result["engine"], result["self"], result["leader"]
    state = (
        f"{engine['state']}, {engine['progress']:.0%}" if engine["state"] == "building" else engine["state"]
    )
    accelerator = result["accelerator"]
    why = accelerator.get("reason", "")
    token = result["token"]
    if token is not None:
        invite = f"mesh join {token}"
    elif "own" in result["rights"]:
        invite = f"{command} invite makes the line for it"
    else:
        invite = "ask an owner of the pool for: mesh invite"
    lines = [
        ("this machine", f"{me['name']} at {me['address']}", ""),
        ("accelerator", f"{accelerator['kind']} {accelerator['name']}" + (f" ({why})" if why else ""), ""),
        ("engine", state + (f" ({engine['reason']})" if engine["reason"] else ""), ""),
        ("leader", "none yet" if leader is None else leader["name"], ""),
        ("API", result["api"], ""),
        *([("others", how_others_ask(listen), "")] if (listen := result.get("listen")) else []),
        ("next machine", invite, ""),
        ("to leave", f"{command} leave", ""),
    ]
    told = fields(lines, indent="  ", whole=("others", "next machine", "to leave"))
    return f"{head} {pool}, {count(result['members'], 'machine')} alive\n{told}"


def _in_background(options: "SidecarOptions", request: JoinArgs) -> JoinResult:
    from mesh.cli.spawning import alone, wait_until_it_answers
    from mesh.cli.terminal import ProgressBar
    from mesh.control.control_client import send

    state = str(options.state_dir)
    started: Started | None = None
    with ProgressBar() as progress:
        try:
            with alone(state):
                if not _runs_as_wanted(state, options, progress):
                    started = _start(options)
                    wait_until_it_answers(state, started)
            result = send(state, JOIN.request(request), progress.show)
        except BaseException:
            if started is not None:
                started.give_up(state)
            raise
    if started is not None:
        started.release()
    return result


def _runs_as_wanted(state: str, options: "SidecarOptions", progress: "ProgressBar") -> bool:
    """Whether a sidecar answers here; one with other options than the requested ones is ended first."""
    from mesh.cli.spawning import wait_until_it_ended
    from mesh.control.control_client import send
    from mesh.control.control_errors import NotRunning

    try:
        info = send(state, INFO.request({}))
        if not info.get("stopping"):
            current = info["options"]
            if all(current.get(name, value) == value for name, value in options.given.items()):
                return True
            progress.show({"text": "restarting the sidecar with the new options"})
            send(state, SHUTDOWN.request({}))
    except NotRunning:
        return False
    if not wait_until_it_ended(info["pid"]):
        raise MeshError(f"the sidecar (process {info['pid']}) does not end", f"end it: kill {info['pid']}")
    return False


def _start(options: "SidecarOptions") -> "Started":
    from mesh.cli.spawning import start

    return start(str(options.state_dir), options.log_format, node_options.as_arguments(options))


def _hide_token(request: JoinArgs) -> None:
    """Restart without the token on the command line, where every user could see it while this runs."""
    token = request.get("token")
    words_with_token = [number for number, word in enumerate(sys.argv) if token is not None and token in word]
    if token is None or (not words_with_token and token not in os.environ.get("MESH_TOKEN", "")):
        return
    words = [word.replace(token, "-") for word in sys.argv[1:]]
    if not words_with_token:
        words.append("--token=-")
    reader, writer = os.pipe()
    os.write(writer, token.encode() + b"\n")
    os.close(writer)
    os.dup2(reader, sys.stdin.fileno())
    environment = {name: value for name, value in os.environ.items() if name != "MESH_TOKEN"}
    # -P: a directory that happens to contain a `json.py` must not change what runs.
    os.execve(sys.executable, [sys.executable, "-P", "-m", "mesh.cli", *words], environment)


def _in_foreground(args: argparse.Namespace, options: "SidecarOptions", request: "JoinArgs") -> int:
    from mesh.cli.terminal import ProgressBar
    from mesh.control.control_client import send
    from mesh.control.control_errors import AlreadyRunning, NotRunning

    try:
        info = send(str(options.state_dir), INFO.request({}))
    except NotRunning:
        pass
    else:
        raise AlreadyRunning(
            f"a sidecar is already running here (process {info['pid']})",
            f"end it with: {invocation(args)} leave",
        )
    from mesh.root.sidecar import main

    with ProgressBar() as progress:

        def joined(result: JoinResult) -> None:
            progress.close()
            print(summary(result, invocation(args)), flush=True)

        return main(options, join=request, on_event=progress.show, on_joined=joined)


def _refuse_too_much_memory(option: "MemoryOption | None") -> None:
    """Raise `UsageError` where more is offered than there is, as far as that is known before the engine is.

    Looking takes a moment, so only if asked.
    """
    if option is None:
        return
    from mesh.tools.devices_here import devices_here
    from worker.hardware import measure
    from worker.offers import offers

    found = devices_here()
    if found is None:
        return  # the sidecar says so, once the engine is built
    try:
        offers(found, measure(), option)
    except MeshError as error:
        raise UsageError(error.message, error.hint) from None


def _valid(convert: Callable[[str], str], text: str) -> str:
    try:
        return convert(text)
    except ValueError as error:
        raise UsageError(str(error), "see: mesh join --help") from None

"""``mesh serve``."""

import argparse
import os
import sys

from mesh.cli import option_values
from mesh.cli.asking import ask_sidecar, invocation
from mesh.cli.options import Options
from mesh.control.operations import SERVE, STATUS, ServeArgs
from mesh.wire.errors import MeshError

DESCRIPTION = """\
Serve a model with the pool. The file has to be on this machine, which then leads, unless the leader has the
file too; a machine that may not lead gives it to the leader first. In the background the file is copied to
another member, so that the pool outlives the loss of the leader."""
EXAMPLE = """\
  mesh serve model.gguf --wait
  mesh serve model.gguf --ctx 8192 --slots 4 --layers alpha=20,beta=12"""

MAGIC = b"GGUF"


def configure(options: Options) -> None:
    options.parser.add_argument(
        "model", metavar="MODEL.gguf", help="the file; of a split one, the first part"
    )
    options.value(
        "--ctx",
        convert=option_values.tokens,
        metavar="N",
        help="tokens of context for each slot: 8192, 8k",
    )
    options.value("--slots", convert=option_values.positive, metavar="N", help="requests answered at once")
    options.value(
        "--layers", convert=option_values.layers, metavar="NAME=N,...", help="fix how many layers go where"
    )
    options.value(
        "--copies",
        convert=option_values.positive,
        metavar="N",
        help="how many members are to hold the file, which is copied to them (default: 2)",
    )
    options.flag("--wait", help="return when it is ready, or say why it is not")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.commands.status import plan_line
    from mesh.cli.terminal import ProgressBar, clean, paint

    request: ServeArgs = {
        "model": gguf_file(args.model),
        "context": args.ctx,
        "slots": args.slots,
        "layers": args.layers,
        "copies": args.copies,
        "wait": args.wait,
    }
    with ProgressBar() as progress:
        try:
            result = ask_sidecar(args, SERVE.request(request), progress.show)
        except KeyboardInterrupt:
            progress.close()
            print(
                f"\nnot waiting any more, which stops nothing; see: {invocation(args)} status",
                file=sys.stderr,
                end="",
            )
            raise
    deployment = result["deployment"]
    name = paint(clean(deployment["model"]), "bold")
    if deployment["state"] == "ready":
        print(f"{name} is ready at {result['api']}")
    else:
        why = f" ({clean(deployment['reason'])})" if deployment["reason"] else ""
        print(f"{name}: {deployment['state']}{why}; follow it with: {invocation(args)} status --watch")
    if result["plan"] is not None:
        status = ask_sidecar(args, STATUS.request({}))
        names = {member["id"]: member["name"] for member in status["members"]}
        print(clean(plan_line(result["plan"], names)))
    return 0


def gguf_file(text: str) -> str:
    """The absolute path of a model file.

    Raises `MeshError` if it cannot be one; the sidecar checks the rest.
    """
    path = os.path.abspath(os.path.expanduser(text))
    try:
        with open(path, "rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise MeshError(f"cannot read {text}: {error.strerror}", "give the path of a .gguf file") from None
    if magic != MAGIC:
        raise MeshError(f"{text} is no GGUF file", "llama.cpp's convert_hf_to_gguf.py makes them")
    return path

"""``mesh serve``."""

import argparse
import sys
from typing import TYPE_CHECKING

from mesh.cli import engine_options, option_values
from mesh.cli.asking import ask_sidecar, invocation
from mesh.cli.options import Options
from mesh.control.operations import SERVE, STATUS, ServeArgs

if TYPE_CHECKING:
    from mesh.cli.models.bringing import Brought

DESCRIPTION = """\
Serve a model with the pool: a file of this machine, a model that the pool holds, by its name, or one of the
hub, which is downloaded first. Of a repository without a quantisation, the best that fits is taken. A machine
that holds the file leads; a machine that may not lead gives it to the leader first. In the background the
file is copied to another member, so that the pool outlives the loss of the leader."""
EXAMPLE = """\
  mesh serve model.gguf --wait
  mesh serve hf:unsloth/Qwen3-8B-GGUF            or the address of its page
  mesh serve hf:unsloth/Qwen3-8B-GGUF:Q4_K_M
  mesh serve Qwen3-8B-Q4_K_M                     a model that mesh models lists
  mesh serve model.gguf --ctx 8192 --slots 4 --layers alpha=20,beta=12
  mesh serve model.gguf --ctx 32k --kv q8_0      half the memory for the context
  mesh serve model.gguf --mmproj mmproj.gguf     a model that reads pictures
  mesh serve bge-small.gguf --embeddings         one that gives vectors of texts"""


def configure(options: Options) -> None:
    options.parser.add_argument(
        "model",
        metavar="MODEL",
        help="a file (of a split one, the first part), a name, hf:OWNER/REPO[:QUANT] or an https address",
    )
    engine_options.configure(options)
    options.value(
        "--copies",
        convert=option_values.positive,
        metavar="N",
        help="how many members are to hold the file, which is copied to them (default: 2)",
    )
    options.flag("--wait", help="return when it is ready, or say why it is not")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.commands.status import plan_line
    from mesh.cli.models.bringing import wrong_files_removed
    from mesh.cli.models.choosing import Wishes
    from mesh.cli.models.model_argument import bring
    from mesh.cli.terminal import ProgressBar, clean, paint

    projector = engine_options.projector(args)
    wishes = Wishes(True, args.ctx, args.slots, args.layers, args.kv, args.embeddings)
    brought = bring(args, args.model, wishes)
    request = _request(args, brought, projector)
    with ProgressBar() as progress, wrong_files_removed(brought):
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
        print(clean(plan_line(result["plan"], status["members"])))
    return 0


def _request(
    args: argparse.Namespace, brought: "Brought", projector: engine_options.MeantProjector | None
) -> ServeArgs:
    """What the sidecar is asked for; without a ``projector`` that was typed, with the one that came along."""
    request: ServeArgs = {
        "model": "" if brought.held else brought.files[0],
        "context": args.ctx,
        "slots": args.slots,
        "layers": args.layers,
        "kv": args.kv,
        "embeddings": args.embeddings,
        "copies": args.copies,
        "wait": args.wait,
    }
    if projector is None and brought.projector:
        request["projector_sha256"] = brought.projector_sha256
    came = engine_options.came_along(brought)
    engine_options.name_projector(request, came if projector is None else projector)
    if brought.held:
        request["held"] = brought.held
    elif brought.source:
        request["sha256"] = list(brought.sha256)
    if brought.source:
        request["source"] = brought.source
    return request

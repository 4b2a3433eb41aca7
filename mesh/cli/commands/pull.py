"""``mesh pull``."""

import argparse
from typing import TYPE_CHECKING

from mesh.cli.asking import ask_sidecar, invocation, print_json
from mesh.cli.options import Options
from mesh.control.operations import HOLD, STATUS
from mesh.wire.amounts import size_text

if TYPE_CHECKING:
    from mesh.cli.models.bringing import Brought

DESCRIPTION = """\
Download a model and have the pool hold it, without serving it. Of a repository without a quantisation, the
best that fits the pool is taken. What was cut off goes on when the command is typed again."""
EXAMPLE = """\
  mesh pull hf:unsloth/Qwen3-8B-GGUF
  mesh pull hf:unsloth/Qwen3-8B-GGUF:Q4_K_M
  mesh pull https://example.org/model.gguf#sha256=HEX"""


def configure(options: Options) -> None:
    options.parser.add_argument(
        "model",
        metavar="MODEL",
        help="hf:OWNER/REPO[:QUANT], the address of its page or file, or a file here",
    )
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from shlex import quote

    from mesh.cli.models.choosing import Wishes
    from mesh.cli.models.held_names import short_name
    from mesh.cli.models.model_argument import bring
    from mesh.cli.terminal import clean, paint

    brought = bring(args, args.model, Wishes(serving=False))
    name, length, sha256 = _hold(args, brought)
    status = ask_sidecar(args, STATUS.request({}))
    member = brought.members[0] if brought.members else status["self"]["id"]
    if args.json:
        print_json(
            {
                "model": name,
                "sha256": sha256,
                "size": length,
                "files": list(brought.files),
                "source": brought.source,
                "member": member,
            }
        )
        return 0
    names = {one["id"]: one["name"] for one in status["members"]}
    holders = ", ".join(names.get(one, one) for one in brought.members or (member,))
    print(f"{paint(clean(name), 'bold')} ({size_text(length)}) is held by {clean(holders)}")
    print(clean(f"serve it with: {invocation(args)} serve {quote(short_name(name))}"))
    return 0


def _hold(args: argparse.Namespace, brought: "Brought") -> tuple[str, int, str]:
    """The name, bytes and root of the model, which the pool holds now."""
    from mesh.cli.models.bringing import wrong_files_removed
    from mesh.cli.terminal import ProgressBar

    if brought.held:
        return brought.name, brought.size, brought.held
    with ProgressBar() as progress, wrong_files_removed(brought):
        request = HOLD.request({"files": list(brought.files), "sha256": list(brought.sha256)})
        result = ask_sidecar(args, request, progress.show)
    return result["name"], result["size"], result["sha256"]

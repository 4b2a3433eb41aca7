"""``mesh plan``."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.cli import engine_options
from mesh.cli.asking import ask_sidecar, print_json
from mesh.cli.commands.status import layers
from mesh.cli.options import Options
from mesh.control.operations import PLAN, PlanArgs, PlanResult
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError

if TYPE_CHECKING:
    from mesh.cli.terminal import Cell

DESCRIPTION = """\
Compute which layers each device would hold and print every term of it; nothing is changed. It takes the
options of mesh serve. Without a model, it is for the one that is deployed, and for its settings."""
EXAMPLE = """\
  mesh plan model.gguf
  mesh plan Qwen3-8B-Q4_K_M                      a model that mesh models lists
  mesh plan model.gguf --ctx 32k --slots 2 --kv q8_0
  mesh plan model.gguf --layers alpha=20,beta/CUDA0=12
  mesh plan model.gguf --pool pool.json          for machines described in a file; needs no sidecar"""


def configure(options: Options) -> None:
    options.parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a file, or the name of a held model (the deployed one)"
    )
    options.value("--pool", metavar="FILE.json", help="plan for the pool in this file instead of one's own")
    engine_options.configure(options)
    options.flag("--json", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from mesh.cli.models.model_argument import bring, gguf_file

    plan: PlanResult
    meant = engine_options.projector(args)
    asked = {"context": args.ctx, "slots": args.slots, "kv": args.kv, "embeddings": args.embeddings}
    asked = {name: value for name, value in asked.items() if value}
    if args.pool is not None:
        from mesh.operations.plan import plan_from_file

        model = None if args.model is None else Path(gguf_file(args.model))
        if meant is not None and meant.held:
            raise MeshError(f"{args.mmproj} is not on this machine", "with --pool, give the projector's file")
        projector = Path(meant.path) if meant is not None and meant.path else None
        plan = plan_from_file(Path(args.pool), model, args.layers, asked, projector)
    else:
        request: PlanArgs = {"model": None, "layers": args.layers, **asked}  # type: ignore[typeddict-item]
        engine_options.name_projector(request, meant)
        if args.model is not None:
            found = bring(args, args.model, None)
            if found.held:
                request["held"] = found.held
            else:
                request["model"] = found.files[0]
        plan = ask_sidecar(args, PLAN.request(request))
    if args.json:
        print_json(plan)
    else:
        print(describe(plan))
    return 0


def describe(plan: PlanResult) -> str:
    """The plan as people read it: time and memory of each stage, the members left out, and why."""
    from mesh.cli.terminal import clean, columns, count, fields, paint, wrapped

    name, fits = paint(clean(plan["model"]), "bold"), columns()
    sizes = [count(plan["layers"], "layer"), f"{count(plan['context'], 'token')} of context"]
    sizes.append(count(plan["slots"], "slot"))
    rate = f"{plan['predicted_tokens_per_second']:.1f} tokens/s predicted"
    head = [f"{name}: {', '.join(sizes)}", f"{rate}, {plan['milliseconds_per_token']:.2f} ms a token"]
    parts = ["\n".join(wrapped(line, fits, "  ") for line in head), _times(plan), _memory(plan)]
    if plan["left_out"]:
        reasons = [(one["name"], one["reason"], "") for one in plan["left_out"]]
        parts.append(fields([("LEFT OUT", "WHY", "dim"), *reasons]))
    if plan["notes"]:
        parts.append("\n".join(wrapped(clean(note), fits, "  ") for note in plan["notes"]))
    return "\n\n".join(parts)


def _times(plan: PlanResult) -> str:
    from mesh.cli.terminal import table

    stages = [stage["terms_ms"] for stage in plan["stages"]]
    terms = list(dict.fromkeys(term for stage in stages for term in stage))
    rows: list[list[Cell]] = [["MILLISECONDS", "HOLDS", *(term.upper() for term in terms), "SUM"]]
    for stage in plan["stages"]:
        held = layers(stage["layers"], stage["head"])
        times = [f"{stage['terms_ms'][term]:.2f}" if term in stage["terms_ms"] else "-" for term in terms]
        rows.append([stage["name"], held, *times, (f"{stage['milliseconds']:.2f}", "bold")])
    return table(rows, right=range(2, len(rows[0])), dispensable=_least_first(terms, stages))


def _memory(plan: PlanResult) -> str:
    from mesh.cli.terminal import table

    stages = [stage["memory"] for stage in plan["stages"]]
    terms = list(dict.fromkeys(term for stage in stages for term in stage))
    rows: list[list[Cell]] = [["MEMORY", *(term.upper() for term in terms)]]
    for stage in plan["stages"]:
        held = [size_text(stage["memory"][term]) if term in stage["memory"] else "-" for term in terms]
        rows.append([stage["name"], *held])
    return table(rows, right=range(1, len(rows[0])), dispensable=_least_first(terms, stages))


def _least_first(terms: Sequence[str], stages: Sequence[Mapping[str, float]]) -> list[str]:
    """The headings of the terms; that of the least one over all stages comes first."""
    total = {term: sum(stage.get(term, 0) for stage in stages) for term in terms}
    return [term.upper() for term in sorted(terms, key=total.__getitem__)]

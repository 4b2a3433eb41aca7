"""llama-server's command line from a plan. Pure.

The engine counts layers from the end. ``-ngl K`` gives the last K of n_layers + 1 to the devices (the one
more is the head) and leaves the first ones on the host's CPU. ``-ts`` with integers that sum to K gives exact
counts, in the order of ``--device``. The last device's number includes the head's slot, even when ``-ot``
keeps the head itself on the CPU.
"""

from collections.abc import Mapping
from pathlib import Path

from leader.model.engine_settings import DEFAULT_KV
from leader.model.made_for import MadeFor, batch, gives, keeps_context, pooling
from leader.placement.cost import checkpoints
from leader.placement.planner import Plan
from leader.placement.rpc_groups import RpcGroup, engine_names
from mesh.engine.sandbox.confinement import environment as passed_on

_FIXED = {
    "GGML_NO_BACKTRACE": "1",  # a crash ends within milliseconds, without a debugger
    "OMP_WAIT_POLICY": "passive",  # threads that spin slow each other down where there are few cores
}


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The engine's environment: what a confined program gets of ``inherited``, plus the fixed variables."""
    return {**passed_on(inherited), **_FIXED}


def arguments(
    plan: Plan,
    endpoints: Mapping[RpcGroup, str],
    host: str,
    port: int,
    slots: Path | None = None,
    name: str = "",
    threads: int | None = None,
) -> list[str]:
    """Everything after the program's name.

    ``endpoints`` gives each rpc-server's end of a tunnel, as ``host:port``; it listens at ``host``, which
    may be the path of a unix socket, ending with .sock. ``slots`` is the folder for saved slots; ``name`` is
    what the API calls the model. ``threads`` are the processor's; None leaves their number to the engine.
    """
    model_info, context, slots_number = plan.model_info, plan.settings.context, plan.settings.slots
    result = ["--model", str(model_info.files[0]), "--alias", name or model_info.name]
    result += ["--host", host, "--port", str(port), "--no-ui", "--offline", "--metrics"]
    # It listens on loopback for the gateway alone: web pages must not reach it.
    result += ["--cors-origins", "http://127.0.0.1"]
    result += ["-c", str(context * slots_number), "-np", str(slots_number), "--no-kv-unified"]
    # The engine must not guess about memory, nor keep a prompt cache that would pull KV over the network.
    result += ["-fit", "off", "-cram", "0", "-ctxcp", str(checkpoints(model_info, plan.settings))]
    result += ["-t", str(threads), "-tb", str(threads)] if threads is not None else []
    result += ["--slot-save-path", f"{slots}/"] if slots is not None else []
    return result + _kind(plan) + _placement(plan, endpoints)


def _kind(plan: Plan) -> list[str]:
    """What the model gives, what it reads beside text, and how the engine keeps what it has read."""
    model_info, settings = plan.model_info, plan.settings
    result: list[str] = []
    if model_info.projector is not None:
        # On the leader's processor: the engine would take the first device, which may be a worker's.
        result += ["--mmproj", str(model_info.projector), "--no-mmproj-offload"]
    if settings.kv != DEFAULT_KV and keeps_context(model_info):
        result += ["-ctk", settings.kv, "-ctv", settings.kv, "-fa", "on"]
    given = gives(model_info, settings)
    if given is MadeFor.RANKS:
        result.append("--reranking")
    elif given is MadeFor.EMBEDDINGS:
        result += ["--embeddings", "--pooling", pooling(model_info)]
    if settings.embeddings:
        at_once = str(batch(model_info, settings))
        result += ["-b", at_once, "-ub", at_once]
    return result


def _placement(plan: Plan, endpoints: Mapping[RpcGroup, str]) -> list[str]:
    used = [stage for stage in plan.stages if not stage.device.host]
    if not used:
        return ["--device", "none", "-ngl", "0"]
    servers = plan.servers
    remote = engine_names(servers)
    names = [stage.device.accelerator or remote[stage.device.key] for stage in used]
    counts = [stage.layers for stage in used]
    counts[-1] += 1
    result = ["--rpc", ",".join(endpoints[server] for server in servers)] if servers else []
    result += ["--device", ",".join(names), "-ngl", str(sum(counts)), "-ts", ",".join(map(str, counts))]
    if any(stage.head for stage in plan.stages if stage.device.host):
        head = "token_embd" if plan.model_info.tied else "output"
        return [*result, "-ot", rf"^{head}\.weight$=CPU"]
    # An override, of no tensor at all, keeps the engine from computing several ubatches at once.
    alone = len(used) == 1 or len(used) < len(plan.stages)
    return result if plan.overlap or alone else [*result, "-ot", "^none$=CPU"]

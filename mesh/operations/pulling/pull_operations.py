"""`mesh pull`, and what `mesh serve` asks of a model by name: does it fit, who downloads it, who holds it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from leader.placement.infeasible import Infeasible
from leader.placement.reading import read_header, read_model
from mesh.control.operations import (
    FetchArgs,
    Fit,
    FitArgs,
    FitResult,
    HoldArgs,
    HoldResult,
    PlaceArgs,
    PlaceResult,
)
from mesh.operations.home import EmitEvent, Home, joined_pool, owned_pool
from mesh.operations.plan import fixed_layers, place_in_pool, settings_asked
from mesh.operations.pulling.download_place import place_download
from mesh.operations.pulling.fetch_stream import Downloaded, download, have_downloaded
from mesh.operations.pulling.holding import hold
from mesh.operations.pulling.wanted_download import read_request
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, parse_id
from mesh.wire.profile import Model

MAX_VARIANTS: Final = 256


class PullOperations:
    """Models by name, the sidecar's part."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def fit(self, args: FitArgs, emit: EmitEvent) -> FitResult:
        """Whether variants of a model fit the pool, by the header of one: the others' weights are scaled."""
        pool = joined_pool(self._home)
        if len(args["sizes"]) > MAX_VARIANTS or min([args["size"], *args["sizes"]]) < 1:
            raise MeshError(
                f"a model has at most {MAX_VARIANTS} variants, each of some bytes",
                "name one: hf:OWNER/REPO:QUANT",
            )
        model_info = await trio.to_thread.run_sync(read_header, Path(args["header"]), args["size"])
        settings = settings_asked(model_info, args)
        fits: list[Fit] = []
        for size in args["sizes"]:
            fixed = fixed_layers(args["layers"], pool.node.members())
            try:
                plan = place_in_pool(pool.node, model_info.scaled(size), settings, fixed)
            except Infeasible as error:
                fits.append({"fits": False, "reason": error.message, "tokens_per_second": 0.0})
            else:
                speed = round(plan.predicted_tokens_per_second, 3)
                fits.append({"fits": True, "reason": "", "tokens_per_second": speed})
            await trio.lowlevel.checkpoint()
        return {"fits": fits}

    async def place(self, args: PlaceArgs, emit: EmitEvent) -> PlaceResult:
        """The member that is to download so many bytes."""
        if args["bytes"] < 0:
            raise MeshError("a download has no less than 0 bytes", "look at the sizes that the hub tells")
        return await place_download(joined_pool(self._home), args["bytes"])

    async def hold(self, args: HoldArgs, emit: EmitEvent) -> HoldResult:
        """Hash a model's files, and check them, so that this machine holds it."""
        pool = joined_pool(self._home)
        if not args["files"]:
            raise MeshError("a model has at least one file", "name it")
        model_info = await trio.to_thread.run_sync(read_model, Path(args["files"][0]))
        _refuse_other_files(model_info.files, args["files"])
        return _held(await hold(pool, model_info, args["sha256"], emit))

    async def fetch(self, args: FetchArgs, emit: EmitEvent) -> HoldResult:
        """Have a member download from the hub and hold the model; this one, if it is named."""
        pool = owned_pool(self._home, "have machines download", "type this on an owner's machine")
        member = NodeId(parse_id(args["member"]))
        files = [[file["path"], file["size"], file["sha256"]] for file in args["files"]]
        wanted = read_request({**args, "files": files})
        if member == pool.node.id:
            return _downloaded(await download(pool, wanted, emit))
        if pool.node.member(member) is None:
            raise MeshError(f"no member has the id {args['member'][:80]}", "see: mesh members --json")
        return _downloaded(await have_downloaded(pool, member, wanted, emit))


def _refuse_other_files(parts: Sequence[Path], given: Sequence[str]) -> None:
    if list(parts) != [Path(file) for file in given]:
        raise MeshError(
            f"{Path(given[0]).name} is a model of {len(parts)} files, and others were given",
            "name its parts in their order",
        )


def _downloaded(got: Downloaded) -> HoldResult:
    result = _held(got.model)
    if got.projector is not None:
        result["projector"] = got.projector.root.hex()
    return result


def _held(model: Model) -> HoldResult:
    return {"name": model.name, "size": model.size, "sha256": model.root.hex()}

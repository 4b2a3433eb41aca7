"""Getting a model: downloaded to this machine, or by another member, and noted as the pool's."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mesh.cli.asking import ask_sidecar
from mesh.cli.models.choosing import Header, Wishes, choose, fits, refuse_too_big
from mesh.control.control_errors import OperationRefused
from mesh.control.operations import FETCH, PLACE, STATUS, FetchFile, PlaceResult
from mesh.hub.hub_cache import arrived_bytes
from mesh.hub.quantisations import Variant, projector_for, projectors
from mesh.hub.references import HubReference, UrlReference
from mesh.hub.repository import HubFile, Repository
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError


@dataclass(frozen=True, slots=True)
class Brought:
    """A model that can be served: by its files on this machine or, if ``held``, by its root in the pool.

    ``sha256`` has a hash for each file, or ""; ``source`` says where it was downloaded, if it was. ``name``,
    ``size`` and ``members``, who has it, are known of what is held. ``projector`` is the file that came along
    by which it reads pictures, if one did, or ``projector_held`` its root.
    """

    files: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    source: str = ""
    held: str = ""
    name: str = ""
    size: int = 0
    members: tuple[str, ...] = ()
    projector: str = ""
    projector_sha256: str = ""
    projector_held: str = ""


def from_hub(args: argparse.Namespace, wanted: HubReference, wishes: Wishes) -> Brought:
    """Choose a variant of a repository and have it downloaded by the member that the sidecar names."""
    from mesh.cli.terminal import ProgressBar
    from mesh.hub import hub_client

    _refuse_unable(args, wishes)
    with ProgressBar() as progress:
        repository = hub_client.describe(wanted.repo, wanted.revision, progress.show)

    def header(variant: Variant) -> Header:
        return lambda into, count: _beginning(repository, variant.files[0], into, count)

    variant = choose(args, repository, wanted, wishes, header)
    beside = projector_for(variant, projectors(repository.files))
    files = [*variant.files, *([beside] if beside else [])]
    missing = sum(file.size for file in files) - arrived_bytes(repository.repo, files)
    place = ask_sidecar(args, PLACE.request({"bytes": missing}))
    _tell_download(variant, beside, place, missing)
    source = f"hf:{repository.repo}@{repository.commit}/{variant.files[0].path}"
    if not place["here"]:
        return _fetched_by(args, place, repository, variant, files, source)
    with download_shown() as show:
        count = len(variant.files)
        paths = hub_client.fetch(repository.repo, repository.commit, files, show, model=count)
    return Brought(
        tuple(str(path) for path in paths[:count]),
        tuple(file.sha256 for file in files[:count]),
        source,
        projector="" if beside is None else str(paths[-1]),
        projector_sha256="" if beside is None else beside.sha256,
    )


def from_address(args: argparse.Namespace, wanted: UrlReference, wishes: Wishes) -> Brought:
    """Download from an address to this machine, once its header says that it fits."""
    from mesh.engine.install.cache import cache_dir
    from mesh.hub import hub_client

    status = _refuse_unable(args, wishes)
    name = wanted.url.partition("?")[0].rpartition("/")[2]
    size = 0

    def header(into: Path, count: int) -> int:
        nonlocal size
        size = hub_client.header_of(into, count, url=wanted.url) * _parts(name)
        return size

    if wishes.serving:
        (fit,) = fits(args, name, [0], 0, wishes, header)
        refuse_too_big(name, size, fit)
    known = f" ({size_text(size)})" if size else ""
    print(f"downloading {name}{known} to {status['self']['name']}", file=sys.stderr)
    with download_shown() as show:
        paths = hub_client.fetch_url(wanted.url, wanted.sha256, cache_dir() / "models", show)
    # The query may be a signature, which is nobody's business.
    source = wanted.url.partition("?")[0]
    # A hash is of the part whose address was typed, which need not be the first.
    hashes = tuple(wanted.sha256 if path.name == unquote(name) else "" for path in paths)
    return Brought(tuple(str(path) for path in paths), hashes, source)


@contextlib.contextmanager
def download_shown() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A function that shows how far a download is; who ends it is told that nothing is lost."""
    from mesh.cli.terminal import ProgressBar

    with ProgressBar() as progress:
        try:
            yield progress.show
        except KeyboardInterrupt:
            progress.close()
            print("\nwhat has arrived is kept; the same command goes on with it", file=sys.stderr, end="")
            raise


@contextlib.contextmanager
def wrong_files_removed(brought: Brought) -> Iterator[None]:
    """Where the sidecar finds that a downloaded file has another hash, remove it from the cache.

    Raises the sidecar's `OperationRefused` with what was done.
    """
    try:
        yield
    except OperationRefused as error:
        came = filter(None, [*brought.files, brought.projector])
        wrong = [file for file in came if error.message.startswith(f"{file}:")]
        if error.code != "wrong_hash" or not brought.source or not wrong:
            raise
        from mesh.hub import hub_client

        for file in wrong:
            hub_client.forget(Path(file))
        hint = "the file was removed; the same command downloads it again"
        raise OperationRefused(error.code, error.message, hint) from None


def _refuse_unable(args: argparse.Namespace, wishes: Wishes) -> Any:
    """The sidecar's status; MeshError where this machine is in no pool, or may not serve."""
    status = ask_sidecar(args, STATUS.request({}))
    own = next((one for one in status["members"] if one["id"] == status["self"]["id"]), None)
    if wishes.serving and own is not None and "own" not in own["rights"]:
        raise MeshError("only an owner decides what runs, and this machine is none", "serve from an owner's")
    return status


def _beginning(repository: Repository, file: HubFile, into: Path, count: int) -> int:
    """Write the beginning of a file to ``into``; the hub is not asked for what the cache has."""
    from mesh.hub import hub_client

    if not file.size or arrived_bytes(repository.repo, [file]) < file.size:
        try:
            return hub_client.header_of(
                into, count, repo=repository.repo, revision=repository.commit, path=file.path
            )
        except MeshError as error:
            if getattr(error, "code", "") != "offline":
                raise
    (cached,) = hub_client.fetch(repository.repo, repository.commit, [file], None)
    with cached.open("rb") as whole, into.open("wb") as beginning:
        beginning.write(whole.read(count))
    return cached.stat().st_size


def _parts(name: str) -> int:
    """Of how many files the model is, by the name of the first; as large as this one, as far as is known."""
    from leader.model.model_names import PART

    match = PART.match(name)
    return int(match["count"]) if match else 1


def _tell_download(variant: Variant, beside: HubFile | None, place: PlaceResult, missing: int) -> None:
    from mesh.cli.terminal import clean

    name = variant.files[0].name
    parts = f" and {len(variant.files) - 1} more" if len(variant.files) > 1 else ""
    if place["here"] and not missing:
        print(clean(f"{name}{parts} ({size_text(variant.size)}) has been downloaded before"), file=sys.stderr)
        return
    why = f" ({place['reason']})" if place["reason"] and not place["here"] else ""
    line = f"downloading {name}{parts} ({size_text(variant.size)}) to {place['name']}{why}"
    print(clean(line), file=sys.stderr)
    if beside is not None:
        comes = f"{beside.name} ({size_text(beside.size)}) comes along: by it the model reads pictures"
        print(clean(comes), file=sys.stderr)


def _fetched_by(
    args: argparse.Namespace,
    place: PlaceResult,
    repository: Repository,
    variant: Variant,
    files: Sequence[HubFile],
    source: str,
) -> Brought:
    """Have another member download; the model is then held there."""
    if repository.closed:
        raise MeshError(
            f"{repository.repo} is not open to all, and a token does not travel to {place['name']}",
            f"type this on {place['name']}, with a token there (hf auth login), or make room here"
            + (f": {place['reason']}" if place["reason"] else ""),
        )
    wanted: list[FetchFile] = [
        {"path": file.path, "size": file.size, "sha256": file.sha256} for file in files
    ]
    with download_shown() as show:
        result = ask_sidecar(
            args,
            FETCH.request(
                {
                    "member": place["member"],
                    "repo": repository.repo,
                    "commit": repository.commit,
                    "files": wanted,
                    "held": len(variant.files),
                }
            ),
            show,
        )
    return Brought(
        source=source,
        held=result["sha256"],
        name=result["name"],
        size=result["size"],
        members=(place["member"],),
        projector_held=result.get("projector", ""),
    )

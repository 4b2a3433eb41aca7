"""Both ends of the stream by which an owner has another member download from the hub.

The stream is of kind `fetch`. The asker sends one message, a `WantedDownload`; the member answers with any
number of ``{"progress": {...}}``, one every `BEAT_SECONDS`, and then one ``{"held": [name, size, root]}`` or
``{"error": [code, message, hint]}``. Beside ``held`` is ``projector``, the same of one that came along. No
token travels, nor does the member use its own. An asker that hangs up ends the download; what has arrived
stays and is gone on with.
"""

import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import trio

from leader.model.gguf_reader import GgufError
from leader.model.model_hash import WrongHash
from leader.placement.reading import read_model
from mesh.control.control_errors import ControlError, OperationRefused
from mesh.control.operations import ProgressEvent
from mesh.hub import hub_client
from mesh.hub.hub_lines import ProgressLine
from mesh.member.stay import Stay
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.operations.home import EmitEvent
from mesh.operations.projectors import projector_in
from mesh.operations.pulling.download_place import why_not_here
from mesh.operations.pulling.held_elsewhere import ROOT_BYTES, model_held_by
from mesh.operations.pulling.holding import hold, while_telling
from mesh.operations.pulling.wanted_download import MAX_REQUEST, WantedDownload, read_request
from mesh.runtime.status import name_of
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Model
from mesh.wire.rights import Rights
from mesh.wire.strangers_words import printable

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 30.0
"""Seconds without a word after which an asker gives a member up."""

REQUEST_SECONDS: Final = 10.0
SEND_SECONDS: Final = 5.0
RECORD_SECONDS: Final = 10.0
"""Seconds until the record of the member that holds the model now should be here."""

MAX_TEXT: Final = 400
_CODE: Final = re.compile(r"[a-z_]{1,32}")

Note = Callable[[ProgressEvent], None]


class Downloaded(NamedTuple):
    """The model that was downloaded and is held, and the projector that came along, if one did."""

    model: Model
    projector: Model | None = None


class FetchServer:
    """The end of the member that downloads: for one asker at a time."""

    def __init__(self) -> None:
        self._busy = ""

    async def handle(self, pool: Stay, session: Session) -> None:
        """Serve an owner's request, until it is done or the owner hangs up."""
        answer: dict[str, Any] = {}
        try:
            with trio.fail_after(REQUEST_SECONDS):
                request = await session.receive_message(MAX_REQUEST)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_hang_up, session, nursery.cancel_scope)
                answer = await self._answer(pool, session, request, nursery.cancel_scope)
                nursery.cancel_scope.cancel()
            if answer:
                await _send(session, answer)
        except (StreamError, DecodeError, trio.TooSlowError) as error:
            log.info("a download for %s ends: %s", session.peer and id_text(session.peer), error or "silence")

    async def _answer(
        self, pool: Stay, session: Session, request: Any, scope: trio.CancelScope
    ) -> dict[str, Any]:
        async def beat(event: ProgressEvent) -> None:
            try:
                await _send(session, {"progress": dict(event)})
            except (StreamError, trio.TooSlowError):
                scope.cancel()

        try:
            got = await self._download(pool, session.peer, request, beat)
        except MeshError as error:
            words = (getattr(error, "code", "failed"), error.message, error.hint)
            return {"error": [word[:MAX_TEXT] for word in words]}
        files = {"held": got.model, "projector": got.projector}
        return {what: [one.name, one.size, one.root] for what, one in files.items() if one is not None}

    async def _download(self, pool: Stay, peer: NodeId | None, request: Any, beat: EmitEvent) -> Downloaded:
        if peer is None or Rights.OWN not in pool.node.rights(NodeId(peer)):
            raise MeshError("only owners may have a member download", "type this on an owner's machine")
        wanted = read_request(request)
        if self._busy:
            raise Busy(f"it downloads {self._busy} already", "try again when that is done")
        self._busy = wanted.repo
        try:
            if why_not := await trio.to_thread.run_sync(why_not_here, pool, wanted):
                raise MeshError(f"it {why_not}", "choose another machine, or make room there")
            log.info("downloads %s at %s for %s", wanted.repo, wanted.commit, id_text(peer))
            return await download(pool, wanted, beat)
        finally:
            self._busy = ""


class Busy(ControlError):
    """A member downloads for somebody already."""

    code = "busy"


async def download(pool: Stay, wanted: WantedDownload, emit: EmitEvent) -> Downloaded:
    """Download to this machine and hold the model; an event every `BEAT_SECONDS`. Raises MeshError."""
    latest: ProgressEvent = {"text": f"downloading {wanted.files[0].name}"}

    def note(event: ProgressEvent) -> None:
        nonlocal latest
        latest = event

    async def beat() -> None:
        await emit(latest)

    await beat()
    return await while_telling(beat, BEAT_SECONDS, lambda: _download_and_hold(pool, wanted, note))


async def _download_and_hold(pool: Stay, wanted: WantedDownload, note: Note) -> Downloaded:
    files = await hub_client.fetch_apart(
        wanted.repo, wanted.commit, wanted.files, lambda line: note(_event(line)), model=wanted.held
    )

    async def noted(event: ProgressEvent) -> None:
        note(event)

    model_info = await trio.to_thread.run_sync(read_model, files[0])
    if list(model_info.files) != files[: wanted.held]:
        raise MeshError(
            f"{files[0].name} has {len(model_info.files)} files, not {wanted.held}",
            "choose another variant, or another repository",
        )
    hashes = [file.sha256 for file in wanted.files]
    try:
        model = await hold(pool, model_info, hashes[: wanted.held], noted)
        beside = zip(files[wanted.held :], hashes[wanted.held :], strict=True)
        return Downloaded(model, await _held_beside(pool, beside, noted))
    except WrongHash as error:
        if not await trio.to_thread.run_sync(_removed_as_broken, error):
            raise
        hint = "the file was removed there; the same command downloads it again"
        raise OperationRefused(error.code, error.message, hint) from error


async def _held_beside(pool: Stay, files: Iterable[tuple[Path, str]], noted: EmitEvent) -> Model | None:
    """The first of the files that came along, each with its hash, that is a projector: it is held too."""
    for path, sha256 in files:
        found = None
        with suppress(GgufError):  # then it only lies there
            found = await trio.to_thread.run_sync(projector_in, path)
        if found is not None:
            return await found.held(pool, sha256, noted)
    return None


def _removed_as_broken(error: WrongHash) -> bool:
    """Remove a file that is not what the cache itself calls it: the hub's blobs have their hashes as names.

    The asker's word alone removes nothing, for the file may be this user's own.
    """
    return error.path.resolve().name == error.expected and hub_client.forget(error.path)


def _event(line: ProgressLine) -> ProgressEvent:
    event: ProgressEvent = {
        "text": line["text"],
        "progress": line["done"] / max(1, line["total"]),
        "done": line["done"],
        "total": line["total"],
        "rate": line["rate"],
    }
    if line["rate"] > 0:
        event["eta_seconds"] = (line["total"] - line["done"]) / line["rate"]
    return event


async def _send(session: Session, message: Mapping[str, Any]) -> None:
    """Send whole, or break the stream: a message that is cut short would garble what follows."""
    with trio.CancelScope(shield=True), trio.fail_after(SEND_SECONDS):
        await session.send_message(dict(message))


async def _until_hang_up(session: Session, scope: trio.CancelScope) -> None:
    with suppress(StreamError, DecodeError):
        await session.receive_message()
    scope.cancel()


# --- the asker's end ------------------------------------------------------------------------------------


async def have_downloaded(pool: Stay, member: NodeId, wanted: WantedDownload, emit: EmitEvent) -> Downloaded:
    """Have the member download; return once its record names the model. MeshError names the member."""
    name = name_of(pool.node, member)
    try:
        got = await _ask(pool, member, name, wanted, emit)
    except OperationRefused:
        raise
    except (StreamError, DecodeError, trio.TooSlowError) as error:
        why = error.message if isinstance(error, MeshError) else "it says nothing any more"
        hint = "upgrade it there" if getattr(error, "code", "") == "unknown_kind" else "try again"
        raise MeshError(f"{name} does not download: {why}", f"{hint}; what has arrived is kept") from error
    for held in filter(None, got):
        await _until_told(pool, member, held.root)
    return got


async def _ask(pool: Stay, member: NodeId, name: str, wanted: WantedDownload, emit: EmitEvent) -> Downloaded:
    session = await pool.machine.streams.open(member, pool.driver.endpoints(member), StreamKind.FETCH, {})
    try:
        await _send(session, wanted.message())
        while True:
            with trio.fail_after(SILENCE_SECONDS):
                answer = await session.receive_message()
            if isinstance(answer, dict) and "progress" in answer:
                await emit(read_progress(answer["progress"], name))
                continue
            return read_answer(answer, name)
    finally:
        await session.aclose()


async def _until_told(pool: Stay, member: NodeId, root: bytes) -> None:
    """Until that member's record names the model; gossip brings it in a moment."""
    with trio.move_on_after(RECORD_SECONDS):
        seen = -1
        while (known := pool.node.member(member)) is not None and model_held_by(known, root) is None:
            seen = await pool.machine.changes.wait(seen, BEAT_SECONDS)


def read_progress(given: Any, name: str) -> ProgressEvent:
    """A member's progress, of which only numbers and printable text are taken over."""
    told: Mapping[str, Any] = given if isinstance(given, dict) else {}
    event: ProgressEvent = {"text": f"{name}: {_clean(told.get('text'))}"}
    if (progress := _number(told.get("progress"))) is not None:
        event["progress"] = min(1.0, progress)
    if (rate := _number(told.get("rate"))) is not None:
        event["rate"] = rate
    if (eta := _number(told.get("eta_seconds"))) is not None:
        event["eta_seconds"] = eta
    done, total = _number(told.get("done")), _number(told.get("total"))
    if done is not None and total is not None:
        event["done"], event["total"] = int(done), int(total)
    return event


def read_answer(answer: Any, name: str) -> Downloaded:
    """What the member holds now. OperationRefused with its error, DecodeError for anything else."""
    told: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    error = told.get("error")
    if isinstance(error, list) and len(error) == 3:
        code = error[0] if isinstance(error[0], str) and _CODE.fullmatch(error[0]) else "failed"
        raise OperationRefused(code, f"{name} does not download: {_clean(error[1])}", _clean(error[2]))
    model = _read_held(told.get("held"))
    if model is None:
        raise DecodeError("it answers what is no answer", "upgrade it there")
    return Downloaded(model, _read_held(told.get("projector")))


def _read_held(given: Any) -> Model | None:
    match given:
        case [str(name), int(size), bytes(root)] if (
            type(size) is int and size > 0 and len(root) == ROOT_BYTES
        ):
            return Model(_clean(name), size, root)
    return None


def _clean(text: Any) -> str:
    return printable(text, MAX_TEXT)


def _number(value: Any) -> float | None:
    is_number = type(value) in (int, float) and math.isfinite(value) and 0 <= value < 1 << 62
    return float(value) if is_number else None

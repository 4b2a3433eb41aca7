"""The leader loop of a sidecar: it performs the reconciler's actions.

The reconciler and its driver are pure. This loop gives them what only this machine knows, opens the tunnels,
and starts and ends llama-server.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import trio

from leader.blame.breaks import Judgement
from leader.blame.quarantines import Exclusion
from leader.door.askers.accounts import Askers
from leader.door.askers.blame import EngineDeaths
from leader.door.askers.usage import Usage, usage
from leader.door.orders import Refused
from leader.llama import slots
from leader.llama.tunnels import OpenTunnel, TunnelRefused, pass_gate
from leader.model.held_models import Models
from leader.model.model_info import ModelInfo
from leader.placement.cost import DeviceKey
from leader.placement.reading import read_model
from leader.placement.rpc_groups import RpcGroup
from leader.reconcile.driver import LeaderDriver, pause
from leader.reconcile.view import Action, Copying, Drain, HandOver, Report, ResolveMove, Running, Start, Stop
from mesh.copies.copy_manager import CopyManager
from mesh.net.link import trusts_by
from mesh.net.stream_kinds import StreamKind
from mesh.runtime.clock import now
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import name_of
from mesh.serving.asking.ask_limits import limits_of
from mesh.serving.asking.ask_reporter import AskReporter
from mesh.serving.asking.asking_right import asking_refused
from mesh.serving.asking.door import Door
from mesh.serving.last_words import last_words
from mesh.serving.pipeline import Pipeline, server_name, slots_folder
from mesh.wire.errors import MeshError
from mesh.wire.identity import NodeId, id_text, parse_id
from mesh.wire.states import Phase

log = logging.getLogger(__name__)

TUNNEL_SECONDS = 10.0
TUNNEL_AGAIN_SECONDS = 0.1
UNREACHABLE_SECONDS = 1.0
MOVE_SECONDS = 60.0
LACKS_MEMORY = "its rpc-server has not the memory that it offers; lend less there: mesh join --memory"


class MoveRequest:
    """A person's request for the best placement: "idle", once running answers are given, or "now"."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.text = ""
        self.settled = trio.Event()


class LeaderLoop:
    """Runs on every member that may lead; does nothing while another leads."""

    def __init__(
        self, machine: NodeContext, driver: NodeDriver, models: Models, copies: CopyManager | None = None
    ) -> None:
        self._machine = machine
        self._driver = driver
        self._models = models
        self._copies = copies
        self._leadership = LeaderDriver(driver.node, driver.do, self, on_judged=self._on_judged)
        self._questions: trio.Nursery | None = None
        self._pipeline: Pipeline | None = None
        self._model_infos: dict[bytes, ModelInfo] = {}
        self._move_request: MoveRequest | None = None
        self.askers = Askers(limits_of(machine.options))
        """What each member has asked of this node as the leader, and may ask."""
        self.deaths = EngineDeaths()
        self.asks = AskReporter(self.askers, self.deaths, self._name_of)
        self.door = Door(self.served, self.askers, self.deaths, self.asks)

    def served(self) -> Pipeline | None:
        """What takes requests now; None where nothing does."""
        return self._pipeline if self._pipeline is not None and self._pipeline.takes_requests else None

    def barred(self, peer: NodeId | None) -> Refused | None:
        """Why a member's request is refused before it says anything; None where it has the right to ask."""
        refused = asking_refused(self._driver.node, peer)
        if refused is not None and peer is not None:
            self.askers.refuse(now(), id_text(peer))
            self.asks.refused(id_text(peer), refused)
        return refused

    def usage(self) -> dict[str, Usage]:
        """What each member has asked of this node as the leader, by its id."""
        return usage(now(), self.askers, self.deaths)

    def reasons(self) -> tuple[str, Mapping[DeviceKey, Exclusion]]:
        """Why the deployment is where it is, whole, and the devices that plans leave out."""
        return self._leadership.reason, self._leadership.ledger.left_out(now())

    def has_served(self, member: bytes) -> bool:
        """Whether the member has held its part of a model for a while, as far as this node saw."""
        return self._leadership.ledger.service.has_served(member)

    async def move(self, at_once: bool) -> str:
        """Move to the best placement, ``at_once`` even while answers run; return the outcome in words.

        Raises trio.TooSlowError after `MOVE_SECONDS`.
        """
        if self._move_request is None:
            self._move_request = MoveRequest("now" if at_once else "idle")
        move_request = self._move_request
        if at_once:
            move_request.when = "now"
        self._machine.changes.notify()
        with trio.fail_after(MOVE_SECONDS):
            await move_request.settled.wait()
        return move_request.text

    async def run(self) -> None:
        """Decide after each change, and every second."""
        try:
            async with trio.open_nursery() as nursery:
                self._questions = nursery
                nursery.start_soon(self.door.run)
                seen = -1
                while True:
                    await self._read_ahead()
                    at = now()
                    decision = self._leadership.decide(at, self._leadership.view(at))
                    if self._pipeline is not None:
                        self._pipeline.drains = any(isinstance(action, Drain) for action in decision.actions)
                    for action in decision.actions:
                        await self._perform(action, nursery)
                    self._forget_conversations()
                    seen = await self._machine.changes.wait(seen, pause(now(), decision))
        finally:
            self._questions = None
            _remove(slots_folder(self._machine))

    async def stop(self, keep: bool = False) -> None:
        """End llama-server, if it runs; with ``keep``, save its conversations first."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            await pipeline.stop(keep)

    # --- what the driver asks -----------------------------------------------------------------------

    def running(self) -> Running | None:
        """The pipeline's state; None while there is none."""
        return None if self._pipeline is None else self._pipeline.running()

    def asked(self) -> str:
        """A pending move request ("idle" or "now"); empty for none."""
        return "" if self._move_request is None else self._move_request.when

    def model_info(self, root: bytes, projector: bytes = b"") -> ModelInfo | None:
        """The shape of the model with that hash, if it was read, and the file beside it is here."""
        model_info = self._model_infos.get(root)
        if model_info is None or not projector:
            return model_info
        beside = self._models.find(projector)
        return None if beside is None else replace(model_info, projector=beside.files[0])

    def lost(self, root: bytes) -> str:
        """The name of a file of that model which this machine once held; empty for none."""
        return self._models.lost(root)

    def copying(self) -> Copying | None:
        """How far the copy of the deployed model is; None while nothing is copied."""
        return None if self._copies is None else self._copies.progress

    async def _read_ahead(self) -> None:
        """Read the deployed model's header, once, where this machine leads or may lead next."""
        root, read = self._wanted_root(), None
        while root is not None and root != read:  # meanwhile another model may have been deployed
            await self._read(root)
            root, read = self._wanted_root(), root

    def _wanted_root(self) -> bytes | None:
        deployment = self._driver.node.deployment()
        if deployment is None:
            return None
        may_lead_next = deployment.running and self._machine.options.lead
        return deployment.model.root if self._leadership.leads or may_lead_next else None

    async def _read(self, root: bytes) -> None:
        held = self._models.find(root)
        if held is None:
            self._model_infos.pop(root, None)
        elif root not in self._model_infos:
            try:
                self._model_infos = {root: await trio.to_thread.run_sync(_make_ready, held.files)}
            except MeshError as error:
                log.error("%s: %s", held.files[0], error)

    # --- the actions --------------------------------------------------------------------------------

    async def _perform(self, action: Action, nursery: trio.Nursery) -> None:
        match action:
            case Start():
                self._start(action, nursery)
            case Stop(reason, keep):
                log.info("stopping: %s", reason)
                await self.stop(keep)
            case Drain():
                pass  # `run` sets it before it performs actions
            case ResolveMove(text):
                if self._move_request is not None:
                    self._move_request.text = text
                    self._move_request.settled.set()
                    self._move_request = None
            case HandOver(_, reason):
                log.info("handing over: %s", reason)
                try:
                    self._leadership.perform(action)
                except MeshError as error:
                    log.warning("cannot hand over: %s", error)
            case Report(Phase.READY, _, "") if self._copies is not None:
                self._leadership.perform(replace(action, reason=self._copies.lacking))
            case _:
                self._leadership.perform(action)

    def _start(self, start: Start, nursery: trio.Nursery) -> None:
        claim, engine = self._driver.node.leader(), self._machine.keeper.engine
        if claim is not None and engine is not None:
            log.info("starting %s on %d stages", start.wanted.name, len(start.plan.stages))
            self._pipeline = Pipeline(
                self._machine,
                self._driver,
                start,
                claim.term,
                self._open_tunnel,
                self._on_reset,
                self.asks.engine_died,
                self._on_stuck,
                self._on_refused,
            )
            nursery.start_soon(self._pipeline.run, engine.llama_server)

    def _forget_conversations(self) -> None:
        """Without a pipeline, the slots' files are there for a move alone, and if that has kept any.

        What else is there is of a deployment that has ended, of a crash, or of an older program.
        """
        folder = slots_folder(self._machine)
        moves = self._leadership.memory.kept is not None and slots.are_kept(folder)
        if self._pipeline is None and not moves:
            _remove(folder)

    # --- the tunnels --------------------------------------------------------------------------------

    async def _open_tunnel(self, server: RpcGroup, term: int) -> OpenTunnel:
        """A stream through the worker's gate; retries while the worker's rpc-server is just starting."""
        worker = NodeId(server.member)
        arguments: dict[str, Any] = {"term": term, "plain": True}
        if server.named:
            arguments["devices"] = [*server.named]
        with trio.fail_after(TUNNEL_SECONDS):
            while True:
                session = await self._machine.streams.open(
                    worker, self._driver.endpoints(worker), StreamKind.TUNNEL, arguments
                )
                try:
                    return await pass_gate(session, trusts_by(self._machine.tailscale))
                except BaseException as error:
                    await session.aclose()
                    if not (isinstance(error, TunnelRefused) and "not ready" in error.message):
                        raise
                await trio.sleep(TUNNEL_AGAIN_SECONDS)

    def _name_of(self, member: str) -> str:
        return name_of(self._driver.node, NodeId(parse_id(member)))

    def _on_reset(self, server: RpcGroup, reason: str, cut: bool) -> None:
        log.warning("tunnel to %s: %s", server_name(self._driver.node, server), reason)
        at = now()
        self._leadership.connection_lost(
            at, server.member, at + UNREACHABLE_SECONDS, reason, server.devices, cut
        )
        if self._questions is not None:
            self._questions.start_soon(self._ask_why, server)

    async def _ask_why(self, server: RpcGroup) -> None:
        """Ask the worker what became of its rpc-server: its word, if it gives any, is what is told."""
        words = await last_words(self._machine, self._driver, server.member, server.devices)
        if words is not None and words.ended:
            name, lines = server_name(self._driver.node, server), "\n".join(words.lines)
            log.warning("%s: %s\n%s", name, words.text, lines)
            self._leadership.heard(server.member, words.text, server.devices)
            self._machine.changes.notify()

    def _on_stuck(self, server: RpcGroup, reason: str) -> None:
        log.warning("%s: %s", server_name(self._driver.node, server), reason)
        self._leadership.stood_still(now(), server.member, reason, server.devices)

    def _on_refused(self, server: RpcGroup) -> None:
        log.warning("%s: %s", server_name(self._driver.node, server), LACKS_MEMORY)
        self._leadership.refused_memory(now(), server.member, LACKS_MEMORY, server.devices)

    def _on_judged(self, judged: Judgement) -> None:
        """Tell whose fault it was: the pool is told the beginning of it alone."""
        name, reason = name_of(self._driver.node, NodeId(judged.tunnel.member)), judged.tunnel.reason
        if judged.guilty:
            log.warning("%s is left out for a while: %s", name, reason)
        else:
            log.info("%s is not to blame: %s", name, reason)


def _remove(folder: Path) -> None:
    """Remove the slots' files; what cannot be removed now is tried again at the next decision."""
    with suppress(OSError):
        slots.remove(folder)


def _make_ready(files: Sequence[Path]) -> ModelInfo:
    """Read a model's header, and have the system read its files ahead where memory is plentiful.

    Blocks, so call it in a thread.
    """
    model_info = read_model(files[0])
    advise = getattr(os, "posix_fadvise", None)  # macOS has none
    if advise is not None and psutil.virtual_memory().available > 2 * model_info.total_bytes:
        for file in files:
            with suppress(OSError), file.open("rb") as opened:
                advise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return model_info

"""The leader's part of a sidecar: carries out what the reconciler decides.

The reconciler is pure; here its view is put together from the Node and what runs, and its actions are
performed: leases asked for, tunnels opened, llama-server started and ended, the pool told.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import trio

from leader.llama.tunnels import OpenTunnel, TunnelRefused, pass_gate
from leader.model.held_models import Models
from leader.model.model_info import ModelInfo
from leader.placement.reading import layers, read_model
from leader.reconcile.decide import decide
from leader.reconcile.member_views import member_view
from leader.reconcile.view import (
    Action,
    Drain,
    HandOver,
    ReconcilerMemory,
    ReleaseLeases,
    Report,
    ResolveMove,
    Start,
    Stop,
    View,
    Wanted,
    WantLeases,
)
from mesh.copies.copy_manager import CopyManager
from mesh.net.link import trusts_by
from mesh.runtime.clock import now
from mesh.runtime.driver import Driver
from mesh.runtime.node_context import Machine
from mesh.runtime.status import name_of
from mesh.serving.pipeline import Pipeline
from mesh.wire.errors import MeshError
from mesh.wire.facts import Stage
from mesh.wire.identity import NodeId

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TUNNEL_SECONDS = 10.0
TUNNEL_AGAIN_SECONDS = 0.1
UNREACHABLE_SECONDS = 1.0
MOVE_SECONDS = 60.0


class MoveRequest:
    """A person's wish for the best placement: by "idle", once answers are given, or "now"."""

    def __init__(self, when: str) -> None:
        self.when = when
        self.text = ""
        self.settled = trio.Event()


class LeaderLoop:
    """Runs on every member that may lead; does nothing while another leads."""

    def __init__(
        self, machine: Machine, driver: Driver, models: Models, copies: CopyManager | None = None
    ) -> None:
        self._machine = machine
        self._driver = driver
        self._models = models
        self._copies = copies
        self._memory = ReconcilerMemory()
        self._number = 0
        self._pipeline: Pipeline | None = None
        self._model_infos: dict[bytes, ModelInfo] = {}
        self._unreachable: dict[bytes, float] = {}
        self._move_request: MoveRequest | None = None

    @property
    def port(self) -> int | None:
        """Where this node's llama-server answers on loopback; None while it takes no request."""
        return None if self._pipeline is None else self._pipeline.port

    async def answer(self) -> trio.abc.Stream | None:
        """A connection to this node's llama-server, for one answer; None while it takes none.

        OSError when it refuses.
        """
        pipeline = self._pipeline
        if pipeline is None or pipeline.port is None:
            return None
        return pipeline.answers.track(await trio.open_tcp_stream("127.0.0.1", pipeline.port))

    async def move(self, at_once: bool) -> str:
        """Move to the best placement, ``at_once`` even while answers are given; what comes of it."""
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
        """Decide whenever something changed, and every second."""
        async with trio.open_nursery() as nursery:
            seen = -1
            while True:
                decision = decide(now(), await self._view(), self._memory)
                self._memory = decision.memory
                if self._pipeline is not None:
                    self._pipeline.drains = any(isinstance(action, Drain) for action in decision.actions)
                for action in decision.actions:
                    await self._perform(action, nursery)
                again = LOOK_SECONDS if decision.again_at is None else decision.again_at - now()
                seen = await self._machine.changes.wait(seen, max(0.01, min(LOOK_SECONDS, again)))

    async def stop(self, keep: bool = False) -> None:
        """End llama-server, if it runs, and ``keep`` its conversations."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            await pipeline.stop(keep)

    # --- the view -----------------------------------------------------------------------------------

    async def _view(self) -> View:
        node = self._driver.node
        running = None if self._pipeline is None else self._pipeline.running()
        asked = "" if self._move_request is None else self._move_request.when
        claim, deployment = node.leader(), node.deployment()
        leading = claim is not None and claim.author == node.id
        if not leading or deployment is None:
            if deployment is not None and deployment.running and self._machine.options.lead:
                await self._model_info(deployment.model.root)  # who may lead next has it at hand
            return View(node.id, leading, running=running, asked=asked)
        root = deployment.model.root
        self._number = deployment.number
        wanted = Wanted(
            deployment.model.name,
            root,
            deployment.context,
            deployment.slots,
            deployment.running,
            {bytes(member): count for member, count in deployment.layers},
        )
        model_info = await self._model_info(root)
        members = tuple(
            member_view(member, node.id, model_info, self._unreachable.get(member.id, 0.0) <= now())
            for member in node.members()
        )
        leases = frozenset(bytes(worker) for worker in node.leases(now()))
        lost = "" if model_info is not None else self._models.lost(root)
        copying = None if self._copies is None else self._copies.progress
        return View(node.id, True, wanted, model_info, members, leases, running, lost, copying, asked)

    async def _model_info(self, root: bytes) -> ModelInfo | None:
        """The deployed model's shape, read once; None when its file is not, or no longer, on this machine."""
        held = self._models.find(root)
        if held is None:
            self._model_infos.pop(root, None)
            return None
        if root not in self._model_infos:
            try:
                self._model_infos = {root: await trio.to_thread.run_sync(_make_ready, held.files)}
            except MeshError as error:
                log.error("%s: %s", held.files[0], error)
                return None
        return self._model_infos[root]

    # --- the actions --------------------------------------------------------------------------------

    async def _perform(self, action: Action, nursery: trio.Nursery) -> None:
        node, do = self._driver.node, self._driver.do
        match action:
            case WantLeases(workers):
                do(node.want_leases, frozenset(map(NodeId, workers)))
            case ReleaseLeases(workers):
                do(node.release_leases, frozenset(map(NodeId, workers)))
            case Start(wanted, plan):
                claim, engine = node.leader(), self._machine.keeper.engine
                if claim is not None and engine is not None:
                    log.info("starting %s on %d stages", wanted.name, len(plan.stages))
                    self._pipeline = Pipeline(
                        self._machine, self._driver, action, claim.term, self._open_tunnel, self._on_reset
                    )
                    nursery.start_soon(self._pipeline.run, engine.llama_server)
            case Stop(reason, keep):
                log.info("stopping: %s", reason)
                await self.stop(keep)
            case ResolveMove(text):
                if self._move_request is not None:
                    self._move_request.text = text
                    self._move_request.settled.set()
                    self._move_request = None
            case Report(phase, progress, reason):
                self._report(phase, progress, reason)
            case HandOver(to, reason):
                log.info("handing over: %s", reason)
                try:
                    do(node.hand_over, NodeId(to))
                except MeshError as error:
                    log.warning("cannot hand over: %s", error)

    def _report(self, phase: str, progress: float, reason: str) -> None:
        pipeline = self._pipeline
        if phase == "ready" and not reason and self._copies is not None:
            reason = self._copies.lacking
        stages: tuple[Stage, ...] = ()
        speed = 0.0
        if pipeline is not None:
            speed = pipeline.plan.predicted_tokens_per_second
            stages = tuple(
                Stage(NodeId(s.device.member), *layers(s), s.head, s.bytes, s.seconds * 1000)
                for s in pipeline.plan.stages
                if s.layers or s.head
            )
        number = self._number
        self._driver.do(self._driver.node.report, number, phase, progress, reason[:180], speed, stages)

    # --- the tunnels --------------------------------------------------------------------------------

    async def _open_tunnel(self, worker: NodeId, term: int) -> OpenTunnel:
        """A stream through the worker's gate; a worker whose rpc-server is just starting is asked again."""
        with trio.fail_after(TUNNEL_SECONDS):
            while True:
                session = await self._machine.streams.open(
                    worker, self._driver.endpoints(worker), "tunnel", {"term": term, "plain": True}
                )
                try:
                    return await pass_gate(session, trusts_by(self._machine.tailscale))
                except BaseException as error:
                    await session.aclose()
                    if not (isinstance(error, TunnelRefused) and "not ready" in error.message):
                        raise
                await trio.sleep(TUNNEL_AGAIN_SECONDS)

    def _on_reset(self, worker: bytes, reason: str) -> None:
        log.warning("tunnel to %s: %s", name_of(self._driver.node, NodeId(worker)), reason)
        self._unreachable[worker] = now() + UNREACHABLE_SECONDS
        self._driver.do(self._driver.node.connection_reset, NodeId(worker))


def _make_ready(files: Sequence[Path]) -> ModelInfo:
    """Read a model's header, and have the system read its files ahead where memory is plenty.

    Blocks, so call it in a thread.
    """
    model_info = read_model(files[0])
    advise = getattr(os, "posix_fadvise", None)  # macOS has none
    if advise is not None and psutil.virtual_memory().available > 2 * model_info.total_bytes:
        for file in files:
            with suppress(OSError), file.open("rb") as opened:
                advise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return model_info

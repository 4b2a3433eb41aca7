"""One llama-server with its tunnels, from the first stream to a worker to the end."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import trio

from leader.door.orders import EngineFacts
from leader.door.slots.parking_cost import ParkingCost
from leader.door.slots.slot_table import SlotTable
from leader.llama.llama_server import LlamaServer, ServerPhase, ServerState
from leader.llama.slots import Slots
from leader.llama.tunnels import (
    NoTunnel,
    Opener,
    OpenTunnel,
    ResetHandler,
    Tunnels,
    open_tunnels,
    unreachable,
)
from leader.model.made_for import MadeFor, gives
from leader.placement.rpc_groups import RpcGroup
from leader.reconcile.view import Running, Start
from mesh.control.paths import log_path
from mesh.protocol.membership.peers import GONE, MemberState
from mesh.protocol.node.node import Node
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import name_of
from mesh.serving.answer_counter import Answers
from mesh.serving.asking.order_run import Crowd
from mesh.serving.asking.slot_turns import SlotTurns
from mesh.wire.identity import NodeId
from mesh.wire.states import Phase

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0

TunnelOpener = Callable[[RpcGroup, int], Awaitable[OpenTunnel]]


class Pipeline:
    """``run`` owns the processes and tunnels; ``state`` is how far they have come."""

    def __init__(
        self,
        machine: NodeContext,
        driver: NodeDriver,
        start: Start,
        term: int,
        open_tunnel: TunnelOpener,
        on_reset: ResetHandler,
        on_death: Callable[[str], None],
        on_stuck: Callable[[RpcGroup, str], None],
        on_refused: Callable[[RpcGroup], None],
    ) -> None:
        """Prepare a pipeline for ``start``.

        ``open_tunnel`` opens a tunnel to an rpc-server under a term. ``on_reset`` is called with one whose
        tunnel did not open, or broke, and the reason; ``on_death`` with how llama-server died, if of what
        it was asked; ``on_stuck`` with one that it waited for in vain, and what that did, and
        ``on_refused`` with one that had not the memory that was asked of it.
        """
        self.wanted = start.wanted
        self.plan = start.plan
        self.state = ServerState(ServerPhase.LOADING)
        self.drains = False
        """Whether new requests are refused."""
        self.answers = Answers(machine.changes.notify)
        self.crowd = Crowd()
        self._machine = machine
        self._driver = driver
        self._term = term
        self._restore = start.restore
        self._open_tunnel = open_tunnel
        self._on_reset = on_reset
        self._on_death = on_death
        self._on_stuck = on_stuck
        self._on_refused = on_refused
        self._server: LlamaServer | None = None
        beside = start.wanted.projector
        self._slots = Slots(
            slots_folder(machine), start.plan, start.wanted.root, b"" if beside is None else beside.root
        )
        self._turns: SlotTurns | None = None
        self._nursery: trio.Nursery | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def takes_requests(self) -> bool:
        """Whether it takes requests."""
        return self._turns is not None and self.state.phase is ServerPhase.READY and not self.drains

    @property
    def facts(self) -> EngineFacts:
        """What the door knows of llama-server."""
        model_info, settings = self.plan.model_info, self.plan.settings
        given = gives(model_info, settings)
        return EngineFacts(
            self.wanted.name,
            settings.context,
            settings.slots,
            embeds=given is MadeFor.EMBEDDINGS,
            ranks=given is MadeFor.RANKS,
            sees=model_info.projector is not None,
            vocabulary=model_info.n_vocab,
        )

    @property
    def turns(self) -> SlotTurns:
        """Whose turn it is on its slots; there once it takes requests."""
        assert self._turns is not None
        return self._turns

    async def connect(self) -> trio.SocketStream:
        """A connection to llama-server, for the door. Raises OSError."""
        if self._server is None:
            raise ConnectionRefusedError("llama-server is not started")
        return await self._server.connect()

    async def ended(self) -> None:
        """Wait until llama-server has ended, and is known to have died of a request or not."""
        await self._ended.wait()

    def running(self) -> Running:
        """The pipeline as the reconciler sees it."""
        state = self.state
        phase = Phase.FAILED if state.phase is ServerPhase.STOPPED else Phase(state.phase)
        load = 0.0 if self._server is None else self._server.load_seconds
        return Running(self.wanted, self.plan, phase, state.progress, state.reason, self.answers.count, load)

    async def run(self, program: Path) -> None:
        """Open the tunnels, then run llama-server; close the tunnels when it ends."""

        async def opener(server: RpcGroup) -> OpenTunnel:
            return await self._open_tunnel(server, self._term)

        try:
            with self._scope:
                if failed := await self._unreachable(opener):
                    self._lost(failed)
                    return
                async with (
                    open_tunnels(opener, self._reset) as tunnels,
                    trio.open_nursery() as self._nursery,
                ):
                    folder = self._machine.state.path
                    self._server = LlamaServer(
                        program,
                        self.plan,
                        tunnels.listen,
                        Path(log_path(str(folder), "llama-server")),
                        traffic=lambda: tunnels.sent + tunnels.received,
                        sent=tunnels.sent_to,
                        doubt=lambda: bool(self._workers_that_are(MemberState.SUSPECT, *GONE)),
                        gone=lambda: bool(self._workers_that_are(*GONE)),
                        slots=self._slots,
                        restore=self._restore,
                        name=self.wanted.name,
                        on_state=self._set_state,
                        on_stuck=partial(self._stuck, tunnels),
                    )
                    state = await self._server.run()
                    if self._server.died_of_requests:
                        self._on_death(state.reason)
                    self._nursery.cancel_scope.cancel()
        finally:
            self._ended.set()
            self._machine.changes.notify()

    async def stop(self, keep: bool = False) -> None:
        """End it; with ``keep``, save its conversations first."""
        if keep and self._server is not None:
            held = {} if self._turns is None else self._turns.contents()
            await self._server.keep_conversations(held)
        self._scope.cancel()
        with trio.move_on_after(STOP_SECONDS):
            await self._ended.wait()

    async def _unreachable(self, opener: Opener) -> dict[RpcGroup, NoTunnel]:
        """The rpc-servers that no tunnel reaches, and why. Does not wait for the dead."""
        failed: dict[RpcGroup, NoTunnel] = {}
        async with trio.open_nursery() as nursery:
            died = partial(self._machine.changes.cancel_when, nursery.cancel_scope)
            nursery.start_soon(died, lambda: bool(self._workers_that_are(*GONE)))
            failed = await unreachable(self.plan.servers, opener)
            nursery.cancel_scope.cancel()
        if failed:
            return failed
        gone = self._workers_that_are(*GONE)
        dead = NoTunnel("it is held dead", cut=True)
        return {server: dead for server in self.plan.servers if server.member in gone}

    def _lost(self, failed: dict[RpcGroup, NoTunnel]) -> None:
        for server, (reason, cut) in failed.items():
            self._on_reset(server, reason, cut)
        names = ", ".join(
            f"{server_name(self._driver.node, one)}: {why.reason}" for one, why in failed.items()
        )
        self._set_state(ServerState(ServerPhase.FAILED, 0.0, names))

    def _reset(self, server: RpcGroup, reason: str, cut: bool) -> None:
        self._on_reset(server, reason, cut)
        if self._server is not None:
            # llama-server would notice at its next token, and abort; until then all seems well.
            self._server.kill(f"lost {server_name(self._driver.node, server)}: {reason}")

    def _stuck(self, tunnels: Tunnels, reason: str) -> None:
        server = tunnels.awaited(loading=self.state.phase is ServerPhase.LOADING)
        if server is not None:
            self._on_stuck(server, f"its rpc-server {reason}")

    def _set_state(self, state: ServerState) -> None:
        refused = None if self._server is None else self._server.refused
        if state.phase is ServerPhase.FAILED and refused is not None:
            self._on_refused(refused)
        self.state = state
        if state.phase is ServerPhase.READY and self._turns is None and self._nursery is not None:
            self._turns = self._make_turns()
            self._nursery.start_soon(self._turns.run)
        self._machine.changes.notify()

    def _make_turns(self) -> SlotTurns:
        """The slots as they are now: empty, or with what was restored into them."""
        assert self._server is not None
        held = {slot: saved.content for slot, saved in self._server.restored.items()}
        files = self._server.slots
        places = 0 if files is None else files.places
        table = SlotTable(self.plan.settings.slots, places, ParkingCost(self._slots.token_bytes), held)
        return SlotTurns(table, self.connect, files)

    def _workers_that_are(self, *states: MemberState) -> list[bytes]:
        used = set(self.plan.workers)
        return [one.id for one in self._driver.node.members() if one.id in used and one.state in states]


def server_name(node: Node, server: RpcGroup) -> str:
    """A member's rpc-server, for people, as plans name it: ``bert``, ``bert/CUDA0``, ``bert/CUDA0, CPU``."""
    name, member = name_of(node, NodeId(server.member)), node.member(NodeId(server.member))
    several = member is not None and member.record is not None and len(member.record.profile.devices) > 1
    return f"{name}/{', '.join(server.named)}" if server.named and several else name


def slots_folder(machine: NodeContext) -> Path:
    """Where this machine keeps conversations while nothing runs that holds them."""
    return machine.state.path / "slots"

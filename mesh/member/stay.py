"""One stay in a pool: everything that runs while this machine is a member, and stops when it leaves."""

import logging
from collections.abc import Sequence
from functools import partial

import trio

from leader.model.held_models import Models
from mesh.admission.admission_server import AdmissionServer
from mesh.admission.handshake import Admitted
from mesh.admission.invites import Invites
from mesh.admission.pool_names import pool_name
from mesh.control.operations import Problem, Status
from mesh.copies.copy_manager import CopyManager
from mesh.gateway.api_key import read_api_key
from mesh.gateway.entry.entrances import entrances
from mesh.gateway.http_server import serve_gateway
from mesh.gateway.loopback_guard import LoopbackGuard
from mesh.member.attachment import Attachment
from mesh.member.drop_log import DropReporter
from mesh.member.gateway_backend import StayBackend
from mesh.member.greeter import Greeter
from mesh.member.lending import Lending
from mesh.member.publisher import Publisher
from mesh.member.relocation import find_company
from mesh.net.discovery.tailscale import find_daemon
from mesh.protocol.base.effects import Expelled
from mesh.protocol.node.node import Node
from mesh.runtime.clock import now
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import status
from mesh.serving.leader_loop import LeaderLoop
from mesh.serving.worker_loop import WorkerLoop
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import PoolId

log = logging.getLogger(__name__)

LEAVE_SECONDS = 1.0


class Stay:
    """``run`` lasts until cancelled; it returns the admission to another pool when a founder moves there."""

    def __init__(
        self,
        machine: NodeContext,
        admission_server: AdmissionServer,
        invites: Invites,
        id: PoolId,
        node: Node,
        peers: Sequence[Endpoint],
    ) -> None:
        self.machine = machine
        self.admission_server = admission_server
        self.invites = invites
        self.id = id
        self.name = pool_name(id)
        self.api = ""
        self.models = Models(machine.state.path / "models.json")
        self.work = WorkerLoop(machine, lambda: node.holder(now()))
        self.driver = NodeDriver.of(machine, id, node, self.work.set_holder)
        self.copies = CopyManager(machine, self.driver, self.models)
        self.leading = LeaderLoop(machine, self.driver, self.models, self.copies)
        self.gateway = StayBackend(machine.streams, self.driver, self.leading, self.status)
        self.expelled: str | None = None
        """Why this machine is a member no longer, for people; None while it is one."""
        self._peers = tuple(peers)
        self._lending = Lending(machine.keeper, machine.options.memory, machine.options.work)
        self._publisher = Publisher(machine, self.driver, self.work, self.models, self._lending)
        self._greeter = Greeter(machine.discovery, self.driver)
        self._attachment = Attachment(machine, admission_server, self.driver, self.name, self._greeter.greet)
        self._guard = LoopbackGuard(partial(find_daemon, machine.options.tailscaled_socket))
        self._drops = self._drop_log()
        self._opened: Endpoint | None = None
        self._admitted: Admitted | None = None
        self._out = trio.Event()
        self.driver.on_lost = lambda lost: invites.close_for(lost.id)
        self.driver.on_expelled = self._expel

    @property
    def node(self) -> Node:
        return self.driver.node

    @property
    def listen(self) -> str | None:
        """Where others ask, with the key: the address of ``--listen``, and if that is all, the node's own."""
        if self._opened is None:
            return None
        host, own = self._opened.host, self.node.member(self.node.id)
        if host in ("0.0.0.0", "::") and own is not None and own.endpoint is not None:
            host = own.endpoint.host
        return f"http://{Endpoint(host, self._opened.port)}/v1"

    def status(self) -> Status:
        """The status now, as `mesh status --json` shows it."""
        machine = self.machine
        engine, heard = machine.keeper.status(), machine.streams.versions
        result = status(self.node, self.id, self.name, engine, self.api, heard, self.listen)
        if self.driver.trouble is not None:
            result["trouble"] = str(self.driver.trouble)
        result["problems"] += machine.keeper.problems
        if self._lending.problem is not None:
            result["problems"].append(self._lending.problem)
        if self.work.problem:
            result["problems"].append(_engine_took_too_much(self.work.problem))
        return result

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Admitted | None:
        """Be a member.

        The stay counts as started once the gateway listens and the node has sent datagrams.
        """
        with self._attachment:
            await self._lending.measure()
            async with trio.open_nursery() as nursery:
                bound = [Endpoint(*one) for one in await nursery.start(self._serve_gateway)]
                self.api = f"http://{bound[0]}/v1"
                self._opened = bound[-1] if self.machine.options.listen is not None else None
                self.driver.do(self.node.start, self._publisher.first())
                await nursery.start(self.driver.run)
                self._attachment.open_admission()
                self.driver.do(self.node.add_seeds, self._peers)
                for task in (
                    self._publisher.run,
                    self._drops.run,
                    self._greeter.run,
                    self.work.run,
                    self.leading.run,
                    self.copies.run,
                ):
                    nursery.start_soon(task)
                nursery.start_soon(self._until_company, nursery.cancel_scope)
                nursery.start_soon(self._until_expelled, nursery.cancel_scope)
                await self._publisher.announce()
                task_status.started()
        return self._admitted

    async def say_goodbye(self) -> None:
        """Tell the others that this node leaves of its own will, and give them a moment to receive that."""
        self._attachment.close_admission()
        await self.leading.stop()
        self.driver.do(self.node.leave)
        await trio.sleep(LEAVE_SECONDS if len(self.node.members()) > 1 else 0)

    def _expel(self, expelled: Expelled) -> None:
        by = f"by {expelled.by_name}" if expelled.by is not None else "together with who had vouched for it"
        self.expelled = f"this machine was evicted from pool {self.name} {by}"
        self._out.set()

    async def _until_expelled(self, stay: trio.CancelScope) -> None:
        await self._out.wait()
        log.error("%s", self.expelled)
        stay.cancel()

    async def _until_company(self, stay: trio.CancelScope) -> None:
        self._admitted = await find_company(self.machine, self.admission_server, self.node)
        if self._admitted is not None:
            stay.cancel()

    async def _serve_gateway(self, *, task_status: trio.TaskStatus[list[tuple[str, int]]]) -> None:
        options = self.machine.options
        key = None
        if options.listen is not None and options.api_key is not None:
            key = await trio.to_thread.run_sync(read_api_key, options.api_key)
        await serve_gateway(
            entrances(options.bind, options.api_port, self._guard.refusal, options.listen, key),
            self.gateway,
            drops=self._guard.drops,
            collectors=[self._drops, self.leading.asks],
            task_status=task_status,
        )

    def _drop_log(self) -> DropReporter:
        datagrams, streams = self.machine.datagrams, self.machine.streams
        return DropReporter(
            {
                "packet": lambda: (datagrams.drops.counts, datagrams.drops.latest),
                "datagram_or_fact": lambda: (self.node.drops.counts, self.node.drops.latest),
                "stream": lambda: (streams.drops.counts, streams.drops.latest),
                "api": lambda: (self._guard.drops.counts, self._guard.drops.latest),
                "admission": lambda: (self.admission_server.drops.counts, self.admission_server.drops.latest),
                "tunnel": lambda: (self._refused_tunnels(), {}),
            },
            self.work.counted,
        )

    def _refused_tunnels(self) -> dict[str, int]:
        counted = self.work.counted()
        return {event: counted[event] for event in ("refused", "cut", "malformed") if event in counted}


def _engine_took_too_much(what: str) -> Problem:
    return {
        "code": "engine_memory",
        "member": None,
        "message": f"{what}, and was started again",
        "hint": "lend more with --memory, or place fewer layers here (mesh serve --layers)",
    }

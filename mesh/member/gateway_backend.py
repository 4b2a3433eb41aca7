"""What the gateway needs from this node: a stream to the leader's door, and the status."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial

import trio

from leader.door.orders import Refused
from mesh.control.operations import DeploymentStatus, Status
from mesh.engine.process.bare_paths import without_folders
from mesh.gateway.backend import AskingRefused, NothingServed, NotReady, Serving
from mesh.gateway.replies import as_http, refusal
from mesh.net.session import Session, StreamError
from mesh.net.session_stream import SessionStream
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import current_state
from mesh.serving.asking.asking_right import asking_refused
from mesh.serving.asking.door import Caller
from mesh.serving.leader_loop import LeaderLoop
from mesh.wire.facts import Claim
from mesh.wire.identity import NodeId, id_text
from mesh.wire.rights import Rights
from mesh.wire.states import Phase

log = logging.getLogger(__name__)

REFUSAL_SECONDS = 1.0
CHANGES_SECONDS = 10.0
REST_SECONDS = 0.2
"""Seconds between two notices of change; faster changes are merged."""


def disclosed(status: Status) -> Status:
    """The status without folders of this machine or another, for whoever asks the API."""
    told: Status = {
        **status,
        "engine": {**status["engine"], "reason": without_folders(status["engine"]["reason"])},
        "deployment": _without_folders(status["deployment"]),
        "deployments": [{**one, "reason": without_folders(one["reason"])} for one in status["deployments"]],
        "problems": [{**one, "message": without_folders(one["message"])} for one in status["problems"]],
    }
    if "trouble" in status:
        told["trouble"] = without_folders(status["trouble"])
    return told


def _without_folders(deployment: DeploymentStatus | None) -> DeploymentStatus | None:
    return None if deployment is None else {**deployment, "reason": without_folders(deployment["reason"])}


class StayBackend:
    """Implements `mesh.gateway.backend.GatewayBackend` for one stay; ``status`` is that of the stay."""

    def __init__(
        self, streams: Streams, driver: NodeDriver, leading: LeaderLoop, status: Callable[[], Status]
    ) -> None:
        self.status = lambda: disclosed(status())
        self._streams = streams
        self._driver = driver
        self._node = driver.node
        self._leading = leading

    def refused(self) -> Refused | None:
        """Why this node may not ask; None where it may."""
        return asking_refused(self._node, self._node.id)

    async def open_leader(self, kind: StreamKind = StreamKind.API) -> trio.abc.Stream:
        """A byte stream to the leader's door, which may be this machine's own. Raises `NotReady`."""
        refused = self.refused()
        if refused is not None:
            raise AskingRefused(refused)
        wanted, claim, report = self._node.deployment(), self._node.leader(), current_state(self._node)
        if wanted is None or not wanted.running:
            raise NothingServed
        if claim is None:
            raise NotReady("the pool has no leader at present", retry_after=2.0)
        if report is None or report.phase != Phase.READY:
            phase, reason = (report.phase, report.reason) if report else (Phase.WAITING, "")
            raise NotReady(
                f"{wanted.model.name} is {phase}{f': {without_folders(reason)}' if reason else ''}",
                retry_after=2.0,
                lasting=phase == Phase.FAILED,
            )
        if claim.author == self._node.id:
            return self._leading.door.connect(self._caller(self._node.id), kind)
        return SessionStream(await self._open(claim, kind))

    async def _open(self, claim: Claim, kind: StreamKind) -> Session:
        """A stream to the leader; stop waiting for a hanging one once it leads no more."""
        session, reason = None, "another machine leads now"
        async with trio.open_nursery() as nursery:
            deposed = partial(self._driver.changes.cancel_when, nursery.cancel_scope)
            nursery.start_soon(deposed, lambda: self._node.leader() != claim)
            try:
                endpoints = self._driver.endpoints(claim.author)
                session = await self._streams.open(claim.author, endpoints, kind)
            except StreamError as error:
                reason = f"the leader does not answer: {error.message}"
            nursery.cancel_scope.cancel()
        if session is None:
            raise NotReady(reason, retry_after=2.0)
        return session

    def serving(self) -> Serving | None:
        """Which member leads, and the hash of the deployed model."""
        wanted, claim = self._node.deployment(), self._node.leader()
        if claim is None or wanted is None or not wanted.running:
            return None
        return Serving(id_text(claim.author), wanted.model.root.hex())

    async def handle_api(self, session: Session) -> None:
        """Let a member's gateway ask this node's llama-server, if this node leads.

        Its own gateway refuses a member that may not ask; one that does not obey is refused here. The stream
        ends when the member's rights change: it could ask by its old ones for as long as it keeps it.
        """
        refused = self._leading.barred(session.peer)
        if refused is not None:
            with suppress(trio.BrokenResourceError), trio.move_on_after(REFUSAL_SECONDS):
                await session.stream.send_all(as_http(refusal(refused)))
        elif session.peer is not None:  # TLS proved it
            caller = self._caller(session.peer)
            async with trio.open_nursery() as nursery:
                ended = partial(self._is_another, session.peer, caller)
                nursery.start_soon(self._driver.changes.cancel_when, nursery.cancel_scope, ended)
                await self._leading.door.serve(session.stream, caller, StreamKind(session.kind))
                nursery.cancel_scope.cancel()

    def _is_another(self, id: NodeId, caller: Caller) -> bool:
        """Whether this member may ask no more, or not as what it was."""
        return asking_refused(self._node, id) is not None or self._caller(id) != caller

    def _caller(self, id: NodeId) -> Caller:
        return Caller(id_text(id), Rights.OWN in self._node.rights(id))

    async def changes(self) -> AsyncIterator[None]:
        """One item for each change of the status, and every ten seconds."""
        seen = -1
        while True:
            seen = await self._driver.changes.wait(seen, CHANGES_SECONDS)
            yield
            await trio.sleep(REST_SECONDS)

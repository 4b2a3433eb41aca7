"""Model copies of a sidecar: the leader has enough copies made, and every member makes its own.

The leader asks members over streams of kind `copies` for their progress (`mesh.copies.copy_policy` chooses
the next) and has one of them fetch at a time. A fetch belongs to its member: it goes on when the leader dies,
and ends when its model is no longer deployed.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from leader.model.held_models import Models
from leader.model.model_hash import Stamp, remember
from leader.reconcile.view import Copying
from mesh.copies.copy_fetch import Fetch, SourceBackoff
from mesh.copies.copy_policy import Site, counts, next_copy
from mesh.copies.copy_server import CopyServer
from mesh.copies.copy_store import CopyStore, Stored, within
from mesh.net.session import Session, StreamError
from mesh.net.stream_kinds import StreamKind
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Member
from mesh.runtime.node_context import NodeContext
from mesh.runtime.node_driver import NodeDriver
from mesh.runtime.status import name_of
from mesh.wire.codec import BOOL, FLOAT, UINT, struct, text
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import DecodeError, MeshError
from mesh.wire.facts import Deployment
from mesh.wire.identity import NodeId, id_text
from mesh.wire.profile import Model
from mesh.wire.rights import Rights

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
ASK_SECONDS: Final = 2.0
TROUBLE_SECONDS: Final = 20.0
"""Seconds that a member reports why it could not make a copy; then it may be asked again."""

MAX_ASKED: Final = 16
"""Members that are asked for their progress at once: those with the most memory."""


@dataclass(frozen=True, slots=True)
class CopyState:
    """A member's progress with its copy.

    ``done`` bytes are here and verified; ``rate`` is in bytes a second; ``free`` bytes are left on its disk;
    ``phase`` is empty while it does not fetch.
    """

    holds: bool
    done: int
    free: int
    phase: str
    rate: float
    sources: int
    trouble: str


_STATE: Final = struct(CopyState, BOOL, UINT, UINT, text(16), FLOAT, UINT, text(300))


class CopyManager:
    """This node's part: as holder, as copier and as leader."""

    def __init__(self, machine: NodeContext, driver: NodeDriver, models: Models) -> None:
        self._machine = machine
        self._driver = driver
        self._models = models
        self._store = CopyStore(machine.state.path / "copies")
        self._hashes = machine.state.path / "hashes"
        self._serving = CopyServer(self._may_copy, self._round_trips, models, self._hashes)
        self._backoff = SourceBackoff()
        self._fetch: Fetch | None = None
        self._scope = trio.CancelScope()
        self._trouble = ""
        self._failed_at = -TROUBLE_SECONDS
        self._nursery: trio.Nursery | None = None
        self._lacking = ""
        self._away: dict[NodeId, float] = {}

    # --- for other parts ----------------------------------------------------------------------------

    @property
    def lacking(self) -> str:
        """At the leader: why the pool has too few copies; empty while it has enough."""
        return self._lacking

    @property
    def progress(self) -> Copying | None:
        """How far this node's copy of the deployed model is; None while it copies nothing."""
        fetch = self._fetch
        return None if fetch is None else Copying(fetch.done, fetch.model.size, fetch.rate())

    @property
    def trouble(self) -> str:
        """Why this node's last copy failed, for `TROUBLE_SECONDS`; then empty."""
        return self._trouble if trio.current_time() < self._failed_at + TROUBLE_SECONDS else ""

    async def handle_piece(self, session: Session) -> None:
        """A member copies from here. A member that only computes needs no whole model, so it is refused."""
        if session.peer is None or Rights.LEAD not in self._driver.node.rights(session.peer):
            await session.send_message({"ok": False, "reason": "only members that may lead copy models"})
            return
        await self._serving.handle(session)

    async def handle_ask(self, session: Session) -> None:
        """A member asks for this one's progress; the leader may have it fetch."""
        root, wanted = session.arguments.get("model"), self._wanted()
        claim = self._driver.node.leader()
        leads = claim is not None and claim.author == session.peer
        deployed = wanted is not None and root in {file.root for file in wanted.held}
        if session.arguments.get("fetch") and leads and deployed and self._machine.options.lead:
            self._begin()
        if isinstance(root, bytes):
            with trio.move_on_after(ASK_SECONDS):
                await session.send_message(_STATE.dump(await self._state(root)))

    async def survey(
        self, root: bytes, members: Iterable[Member], fetch: bool = False
    ) -> dict[NodeId, CopyState]:
        """Ask these members for their progress, and return that of those that answer.

        With ``fetch``, they are to make a copy.
        """
        states: dict[NodeId, CopyState] = {}

        async def ask(id: NodeId) -> None:
            try:
                with trio.move_on_after(ASK_SECONDS):
                    states[id] = await self._ask(id, root, fetch)
            except (StreamError, DecodeError) as error:
                log.debug("%s does not report its copy's progress: %s", id_text(id), error)

        async with trio.open_nursery() as nursery:
            for member in members:
                nursery.start_soon(ask, member.id)
        return states

    async def _ask(self, id: NodeId, root: bytes, fetch: bool) -> CopyState:
        if id == self._driver.node.id:
            if fetch:
                self._begin()
            return await self._state(root)
        arguments = {"model": root, "fetch": fetch}
        endpoints = self._driver.endpoints(id)
        session = await self._machine.streams.open(id, endpoints, StreamKind.COPIES, arguments, ASK_SECONDS)
        try:
            state: CopyState = _STATE.load(await session.receive_message())
            return state
        finally:
            await session.aclose()

    async def _state(self, root: bytes) -> CopyState:
        fetch = self._fetch if self._fetch is not None and self._fetch.model.root == root else None
        held = await trio.to_thread.run_sync(self._models.find, root)
        if fetch is None:
            done = await trio.to_thread.run_sync(self._store.recorded, root)
        else:
            done = fetch.done
        try:
            free = await trio.to_thread.run_sync(self._store.free)
        except MeshError as error:
            return CopyState(False, 0, 0, "", 0.0, 0, error.message[:200])
        if fetch is None:
            return CopyState(held is not None, done, free, "", 0.0, 0, self.trouble[:200])
        return CopyState(False, done, free, fetch.phase, fetch.rate(), len(fetch.sources), "")

    # --- making one ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Copy when asked to, and look after the others' copies while this node leads; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            seen = -1
            while True:
                wanted = self._wanted()
                if self._fetch is not None and (wanted is None or self._fetch.model not in wanted.held):
                    self._scope.cancel()
                await self._oversee(wanted)
                seen = await self._machine.changes.wait(seen, LOOK_SECONDS)
                await trio.sleep(LOOK_SECONDS / 4)  # at most two looks a second

    def _begin(self) -> None:
        """Copy what is deployed, unless it is here or in transfer: the smallest file first, then the others.

        So whoever copied the model holds what is beside it.
        """
        wanted = self._wanted()
        if self._nursery is None or self._fetch is not None or wanted is None:
            return
        missing = [file for file in wanted.held if self._models.find(file.root) is None]
        model = min(missing, key=lambda file: file.size, default=None)
        if model is None:
            return
        holders = partial(self._holders, model.root)
        self._fetch = Fetch(self._machine.streams, model, self._store, holders, self._backoff)
        self._scope = trio.CancelScope()
        self._nursery.start_soon(self._make, self._fetch, self._scope, wanted.held)

    async def _make(self, fetch: Fetch, scope: trio.CancelScope, held: Sequence[Model]) -> None:
        model, made = fetch.model, False
        log.info("copying %s", model.name)
        try:
            with scope:
                files = await fetch.run()
                await trio.to_thread.run_sync(self._record, fetch, files)
                made = True
                log.info("holds a copy of %s", model.name)
        except (MeshError, OSError) as error:
            log.warning("no copy of %s was made: %s", model.name, error)
            self._trouble, self._failed_at = str(error), trio.current_time()
        except Exception as error:
            # A fault in copying must not take serving along.
            log.exception("no copy of %s was made", model.name)
            self._trouble, self._failed_at = f"failed: {type(error).__name__}", trio.current_time()
        finally:
            self._fetch = None
            self._machine.changes.notify()
        if made and (wanted := self._wanted()) is not None and wanted.held == held:
            self._begin()  # the next file, and not one of what was deployed meanwhile

    def _record(self, fetch: Fetch, files: Sequence[Path]) -> None:
        self._models.add(fetch.model.name, fetch.model.root, files)
        for path, file in zip(files, fetch.files, strict=True):
            remember(self._hashes, path, Stamp.of(path), file)

    def _holders(self, root: bytes) -> Mapping[NodeId, Sequence[Endpoint]]:
        node = self._driver.node
        return {
            member.id: self._driver.endpoints(member.id)
            for member in node.members()
            if member.id != node.id and member.state is MemberState.ALIVE and _holds(member, root)
        }

    def _may_copy(self, peer: NodeId) -> bool:
        """Only members that may serve the weights may copy them."""
        return Rights.LEAD in self._driver.node.rights(peer)

    def _round_trips(self) -> dict[NodeId, float]:
        return {member.id: member.rtt for member in self._driver.node.members() if member.rtt is not None}

    def _wanted(self) -> Deployment | None:
        deployment = self._driver.node.deployment()
        return deployment if deployment is not None and deployment.running else None

    # --- the leader's part --------------------------------------------------------------------------

    async def _oversee(self, wanted: Deployment | None) -> None:
        """Look once whether there are enough copies; if not, have the next one made."""
        node = self._driver.node
        claim = node.leader()
        if wanted is None or claim is None or claim.author != node.id:
            self._lacking = ""
            self._away.clear()
            return
        members = node.members()
        self._note_absent(members)
        if sum(counts(self._site(member, wanted.held, {})) for member in members) >= wanted.copies:
            self._set_lacking("")
            return
        alive = [member for member in members if member.state is MemberState.ALIVE]
        asked = [one for one in alive if may_lead(one) and not self._holds_all(one, wanted.held)]
        asked.sort(key=lambda member: -_memory(member))
        states = {file.root: await self.survey(file.root, asked[:MAX_ASKED]) for file in wanted.held}
        sites = [self._site(member, wanted.held, states) for member in members]
        scattered = all(any(self._holds(one, file.root) for one in alive) for file in wanted.held)
        size = sum(file.size for file in wanted.held)
        decision = next_copy(sites, node.id, size, wanted.copies, scattered)
        self._set_lacking(decision.lacking)
        if decision.fetch is not None:
            log.info("%s is to copy %s", name_of(node, NodeId(decision.fetch)), wanted.model.name)
            chosen = [member for member in members if member.id == decision.fetch]
            await self.survey(wanted.model.root, chosen, fetch=True)

    def _note_absent(self, members: Sequence[Member]) -> None:
        """Note since when each member is away: from when this leader first saw it so."""
        now = trio.current_time()
        away = [member.id for member in members if member.state in (MemberState.SUSPECT, MemberState.DEAD)]
        self._away = {id: self._away.get(id, now) for id in away}

    def _set_lacking(self, lacking: str) -> None:
        if lacking != self._lacking:
            self._lacking = lacking
            self._machine.changes.notify()

    def _holds(self, member: Member, root: bytes) -> bool:
        if member.id == self._driver.node.id:
            return self._models.find(root) is not None
        return _holds(member, root)

    def _holds_all(self, member: Member, files: Sequence[Model]) -> bool:
        return all(self._holds(member, file.root) for file in files)

    def _site(
        self, member: Member, files: Sequence[Model], states: Mapping[bytes, Mapping[NodeId, CopyState]]
    ) -> Site:
        """A member as a place for these files; ``states`` is what members say of each, by its root."""
        told = [(file, states.get(file.root, {}).get(member.id)) for file in files]
        said = [state for _, state in told if state is not None]
        holds = [self._holds(member, file.root) or (one is not None and one.holds) for file, one in told]
        done = [
            file.size if held else 0 if state is None else state.done
            for (file, state), held in zip(told, holds, strict=True)
        ]
        return Site(
            id=member.id,
            name=name_of(self._driver.node, member.id),
            alive=member.state is MemberState.ALIVE,
            away=trio.current_time() - self._away.get(member.id, -math.inf),
            lead=may_lead(member),
            holds=all(holds),
            done=sum(done),
            free=min((state.free for state in said), default=None),
            fetching=any(state.phase for state in said),
            trouble=next((state.trouble for state in said if state.trouble), ""),
            memory=_memory(member),
        )

    # --- removing -----------------------------------------------------------------------------------

    def prune(self) -> list[Stored]:
        """Remove copies that nothing deployed uses; return those removed. Blocks. Raises StoreError."""
        return self._store.prune(self._is_used)

    def _is_used(self, stored: Stored) -> bool:
        wanted = self._wanted()
        if wanted is None or stored.root not in {file.root for file in wanted.held}:
            return self._fetch is not None and self._fetch.model.root == stored.root
        held = self._models.find(stored.root)
        # The deployed model may be served from another file, which makes the copy superfluous.
        return held is None or within(held.files, stored.path)


def may_lead(member: Member) -> bool:
    """Whether a copy at this member would help when the leader is lost."""
    return Rights.LEAD in member.rights and member.record is not None and member.record.profile.rank > 0


def _holds(member: Member, root: bytes) -> bool:
    return member.record is not None and any(model.root == root for model in member.record.profile.models)


def _memory(member: Member) -> int:
    return 0 if member.record is None else member.record.profile.lent

"""The member's side of admission: which machines it vouches for, and which it sends to an owner."""

import logging
from collections.abc import Sequence
from typing import Any

import trio

from mesh.admission.handshake import (
    AdmissionRefused,
    Greeting,
    Uninvited,
    admitted,
    answer,
    new_nonce,
    raw,
    refusal,
    signed_request,
)
from mesh.admission.invites import Invites
from mesh.admission.pairing_lobby import Applicant, PairingLobby
from mesh.net.discovery.discovery_source import DiscoverySource, Ownership
from mesh.net.session import Session
from mesh.net.stream_kinds import StreamKind
from mesh.net.streams import Streams
from mesh.net.versions_preface import OtherVersion
from mesh.protocol.base.drop_counters import DropCounters
from mesh.runtime.node_driver import NodeDriver
from mesh.wire.endpoint import Endpoint
from mesh.wire.errors import MeshError
from mesh.wire.identity import Identity, NodeId, node_id, pool_id, verify
from mesh.wire.rights import ALL_RIGHTS, Rights

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
ASK_FOR_INVITE = "ask an owner of the pool for an invite: mesh invite"
LEFT = "ask another machine of the pool: mesh join HOST"
MALFORMED = AdmissionRefused(
    "that is not a request", "upgrade the older of the two programs", why="malformed"
)


class AdmissionServer:
    """Answers applicants at this node. ``driver`` is that of the pool it belongs to at present, if any."""

    def __init__(
        self,
        identity: Identity,
        name: str,
        streams: Streams,
        invites: Invites,
        sources: Sequence[DiscoverySource],
    ) -> None:
        """Among ``sources``, those that can prove a machine's owner admit machines of this one's owner."""
        self.driver: NodeDriver | None = None
        self.moving = False
        self.pool_name = ""
        self.lobby = PairingLobby()
        self.drops = DropCounters[str]()
        self._identity = identity
        self._name = name
        self._streams = streams
        self._invites = invites
        self._owning = [(one, one.ownership) for one in sources if one.ownership is not None]

    def alone(self) -> bool:
        """Whether this is a founder without other members or work: it may still move to another pool."""
        if self.driver is None:
            return True
        node = self.driver.node
        # A machine that was just admitted has a key before it has sent anything.
        return len(node.keys()) == 1 and node.deployment() is None

    def greeting(self) -> Greeting:
        if self.driver is None or self.moving:
            state, pool, chain = (
                "moving" if self.moving else "searching",
                pool_id(self._identity.public_key),
                [],
            )
        else:
            state, pool, chain = "member", self.driver.pool, self.driver.node.chain(self._identity.id)
        return Greeting(state, pool, self.pool_name, self._name, self.alone(), new_nonce(), tuple(chain))

    async def handle(self, session: Session) -> None:
        """Serve one applicant, from the greeting to the answer."""
        greeting = self.greeting()
        waiting = False
        with trio.move_on_after(ANSWER_SECONDS):
            await session.send_message(greeting.message())
            request = await session.receive_message()
            try:
                key = self._proven(greeting, request)
                waiting = "slot" in request
                if waiting:
                    applicant = self._applicant(session, key, request)
                    reply: dict[str, Any] = {"waiting": True}
                else:
                    reply = await self._decide(session, key, request)
            except MeshError as error:
                reply, waiting = self._refuse(error, session), False
            except (KeyError, TypeError, ValueError):
                reply, waiting = self._refuse(MALFORMED, session), False
            await session.send_message(reply)
        if waiting:
            # It waits as long as its stream may last.
            await self.lobby.wait(session, applicant)

    def _refuse(self, error: MeshError, session: Session) -> dict[str, Any]:
        self.drops.count(getattr(error, "why", "other"), session.remote.host)
        log.debug("refused %s: %s", session.remote, error)
        return refusal(error)

    def _applicant(self, session: Session, key: bytes, request: dict[str, object]) -> Applicant:
        """The applicant that is to wait here for an approval; MeshError when the lobby has no room."""
        applicant = {
            "key": key,
            "name": request["name"],
            "slot": request["slot"],
            "host": session.remote.host,
        }
        parsed = Applicant.parse(applicant)
        self.lobby.check_room(parsed)
        return parsed

    def _proven(self, greeting: Greeting, request: dict[str, object]) -> bytes:
        """The applicant's proven key. AdmissionRefused without proof, or when no machine can be admitted."""
        key, signature = request["key"], request["signature"]
        if not isinstance(key, bytes) or not isinstance(signature, bytes) or len(key) != 32:
            raise ValueError
        if not verify(key, signed_request(self._identity.id, greeting.nonce), signature):
            raise AdmissionRefused(
                "the key is not yours: its signature is wrong", "try again", why="wrong_signature"
            )
        if greeting.state != "member" or self.driver is None or self.moving:
            raise AdmissionRefused(
                "this machine is joining a pool itself", "try again in a few seconds", why="no_pool"
            )
        if self.driver.node.is_evicted(node_id(key)):
            raise AdmissionRefused(
                "this machine was evicted from the pool", "its key is barred for ever: ask an owner"
            )
        return key

    async def handle_approve(self, session: Session) -> None:
        """An owner's node asks which applicants wait here, or talks with one of them."""
        node = None if self.driver is None else self.driver.node
        if node is None or session.peer is None or Rights.OWN not in node.rights(session.peer):
            await session.send_message(
                refusal(
                    AdmissionRefused("only an owner may approve", "type mesh approve on an owner's machine")
                )
            )
            return
        await self.lobby.pass_on(session)

    async def _decide(self, session: Session, key: bytes, request: dict[str, object]) -> dict[str, object]:
        if "issuer" in request:
            return await self._invited(request, key)
        return await self._same_owner(session.remote, key)

    async def _invited(self, request: dict[str, object], key: bytes) -> dict[str, object]:
        assert self.driver is not None
        issuer, name, proof = request["issuer"], request["invite"], request["proof"]
        if not (isinstance(issuer, bytes) and isinstance(name, bytes) and isinstance(proof, bytes)):
            raise ValueError
        if issuer == self._identity.id:
            return self._redeem(name, key, proof)
        try:
            session = await self._streams.open(
                NodeId(issuer),
                self.driver.endpoints(NodeId(issuer)),
                StreamKind.REDEEM,
                {"invite": name, "key": key, "proof": proof},
            )
        except OtherVersion as error:
            raise AdmissionRefused(
                f"only {self._name_of(issuer)}, its issuer, can redeem the invite, and speaks another wire "
                f"version than {self._name}",
                "upgrade the older of the two, or ask another owner for an invite",
                why="issuer_away",
            ) from error
        except MeshError as error:
            raise AdmissionRefused(
                f"only {self._name_of(issuer)}, its issuer, can redeem the invite, and does not answer",
                "wait until it is back, or ask another owner for an invite",
                why="issuer_away",
            ) from error
        try:
            reply = await session.receive_message()
        finally:
            await session.aclose()
        admitted(reply, self.driver.pool, key)
        assert isinstance(reply, dict)
        return reply

    async def handle_redeem(self, session: Session) -> None:
        """A member passes on an applicant's proof for an invite that this node issued."""
        arguments = session.arguments
        try:
            reply = self._redeem(raw(arguments["invite"]), raw(arguments["key"]), raw(arguments["proof"]))
        except MeshError as error:
            reply = self._refuse(error, session)
        except (KeyError, TypeError, ValueError):
            reply = self._refuse(MALFORMED, session)
        with trio.move_on_after(ANSWER_SECONDS):
            await session.send_message(reply)

    def _redeem(self, name: bytes, key: bytes, proof: bytes) -> dict[str, object]:
        if self.driver is None:
            raise AdmissionRefused("this machine has left the pool", LEFT)
        if self.driver.node.is_evicted(node_id(key)):
            raise AdmissionRefused(
                "that machine was evicted from the pool",
                "its key is barred for ever: ask an owner",
                "evicted",
            )
        return self.vouch(key, self._invites.redeem(self.driver.pool, name, key, proof))

    async def _same_owner(self, remote: Endpoint, key: bytes) -> dict[str, object]:
        """Admit without an invite if a source proves that the applicant has this machine's owner."""
        refused = Uninvited("this pool admits by invite", ASK_FOR_INVITE)
        for source, ownership in self._owning:
            try:
                await _check_owner(source.name, ownership, remote)
            except Uninvited as error:
                refused = error
            else:
                return self.vouch(key, ALL_RIGHTS)
        raise refused

    def vouch(self, key: bytes, rights: Rights) -> dict[str, Any]:
        """Make the holder of ``key`` a member with at least these rights; return the answer for it."""
        if self.driver is None:
            raise AdmissionRefused("this machine has left the pool", LEFT)
        node = self.driver.node
        subject = node_id(key)
        if node.keys().get(subject) is None or rights.exceeds(node.rights(subject)):
            self.driver.command(node.vouch, key, rights)
            log.info("admitted %s", subject.hex())
        peers = [endpoint for member in node.members() for endpoint in self.driver.endpoints(member.id)[:2]]
        return answer(node.chain(subject), peers)

    def _name_of(self, issuer: bytes) -> str:
        assert self.driver is not None
        member = self.driver.node.member(NodeId(issuer))
        return member.record.profile.name if member and member.record else "the machine"


async def _check_owner(source: str, ownership: Ownership, remote: Endpoint) -> None:
    """Raise Uninvited, with why, unless ``source`` says that the applicant has this machine's owner."""
    try:
        found = await ownership.check_owner(remote)
    except MeshError as error:
        raise Uninvited(f"the {source} cannot tell who you are: {error.message}", ASK_FOR_INVITE) from error
    if found is None:
        raise Uninvited(f"you are no machine of this pool's {source}", ASK_FOR_INVITE)
    if not found.same:
        raise Uninvited(f"{found.name or 'this machine'} {found.reason}", ASK_FOR_INVITE)

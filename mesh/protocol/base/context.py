"""The context that all parts of a Node share: identity, the present instant, effects so far, timers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from mesh.protocol.base.drop_counters import DropCounters, DropReason
from mesh.protocol.base.effects import Effect, Event, Notice, Persist, Send, SendStream, SetTimer, Tell, Timer
from mesh.protocol.base.internal_events import InternalEvent
from mesh.protocol.base.settings import Settings
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import MAX_BODY, NOBODY, seal
from mesh.wire.identity import NodeId, PoolId, Signer, Verifier, node_id
from mesh.wire.messages import Bodies, Message
from mesh.wire.signed_facts import F, Signed, decode, sign
from mesh.wire.versions import SPOKEN, Versions

T = TypeVar("T")
NO_POOL = PoolId(bytes(16))


class RandomSource(Protocol):
    """The part of ``random.Random`` that the protocol draws on; an argument, so that a seed repeats a run."""

    def random(self) -> float: ...
    def randrange(self, start: int, /) -> int: ...
    def getrandbits(self, k: int, /) -> int: ...
    def shuffle(self, x: list[T], /) -> None: ...
    def sample(self, population: Sequence[T], k: int) -> list[T]: ...


class Context:
    """One Node's identity, clock reading, outbox and timers."""

    def __init__(
        self,
        settings: Settings,
        signer: Signer,
        verifier: Verifier,
        random: RandomSource,
        speaks: Versions = SPOKEN,
        later: bytes = b"",
    ) -> None:
        self.settings = settings
        self.signer = signer
        self.verifier = verifier
        self.random = random
        self.id: NodeId = node_id(signer.public_key)
        self.speaks = speaks
        self.form = speaks.newest
        """The wire version in whose form this node signs facts: `mesh.protocol.membership.form_choice`."""
        self._later = later
        self.pool: PoolId = NO_POOL
        self.now = 0.0
        self.sent = 0
        """The number of the last datagram."""
        self.effects: list[Effect] = []
        self.drops = DropCounters[DropReason]()
        self.running = False
        """Whether this node takes part: it started, and since then did not leave and was not expelled."""
        self.members_changed = False
        """This input changed what status shows of members: at its end the Node tells MembersChanged, once."""
        self.leadership_dirty = False
        """This input may change the leader or a lease: at its end the Node evaluates both anew."""
        self.dispatch: Callable[[InternalEvent], None]
        """The Node's table of reactions, set once while the Node is built."""
        self._pending: dict[tuple[str, bytes], tuple[int, float]] = {}
        self._token = 0

    def send(self, to: NodeId | None, endpoint: Endpoint, message: Message) -> None:
        """Send a datagram; a message too large for one goes framed over a stream, up to 256 KiB.

        A stream needs a member to prove its other end: without ``to`` nothing is sent that is too large.
        """
        body = messages.encode(message)
        if len(body) <= MAX_BODY:
            self.sent += 1
            sealed = seal(self.pool, self.id, self.sent, body, self.signer, to or NOBODY, self.speaks)
            self.effects.append(Send(to, endpoint, sealed))
        elif to is not None and len(body) <= messages.MAX_STREAMED:
            self.effects.append(SendStream(to, endpoint, body))

    def send_bodies(self, to: NodeId | None, endpoint: Endpoint, facts: Sequence[bytes]) -> None:
        """Send facts in as few datagrams as hold them; a fact too large for one goes over a stream."""
        batch: list[bytes] = []
        size = 0
        for data in facts:
            if batch and size + len(data) + 3 > MAX_BODY - 8:
                self.send(to, endpoint, Bodies(tuple(batch)))
                batch, size = [], 0
            batch.append(data)
            size += len(data) + 3
        if batch:
            self.send(to, endpoint, Bodies(tuple(batch)))

    def sign(self, fact: F, form: int | None = None) -> Signed[F]:
        """The fact, signed in that form, or that of the time; OlderFormError where it cannot say it."""
        form = self.form if form is None else form
        if self._later and form == self.speaks.newest:
            fact = dataclasses.replace(fact, unknown=self._later)
        return sign(fact, self.signer, form)

    def read(self, data: bytes) -> Signed[Any]:
        """The fact of these bytes, not checked; raises DecodeError."""
        return decode(data, self.speaks.newest)

    def persist(self, key: str, value: bytes) -> None:
        self.effects.append(Persist(key, value))

    def emit(self, event: InternalEvent) -> None:
        """Let other parts of this Node react, now; `mesh.protocol.node.dispatch` lists them."""
        self.dispatch(event)

    def tell(self, event: Event) -> None:
        self.effects.append(Tell(event))

    def notice(self, level: str, text: str) -> None:
        self.tell(Notice(level, text))

    def schedule(self, kind: str, subject: bytes, at: float) -> None:
        """Set the timer of this kind and subject to fire at ``at`` (seconds); one set before is stale."""
        self._token += 1
        self._pending[kind, subject] = (self._token, at)
        self.effects.append(SetTimer(Timer(kind, subject, self._token), at))

    def schedule_by(self, kind: str, subject: bytes, at: float) -> None:
        """The same, unless the timer already fires no later than that."""
        pending = self._pending.get((kind, subject))
        if pending is None or pending[1] > at:
            self.schedule(kind, subject, at)

    def cancel(self, kind: str, subject: bytes) -> None:
        self._pending.pop((kind, subject), None)

    def is_late(self) -> bool:
        """Whether a timer should have fired long ago: this process was paused, though it may not know yet."""
        return any(at < self.now - self.settings.stall for _, at in self._pending.values())

    def is_scheduled(self, kind: str, subject: bytes) -> bool:
        return (kind, subject) in self._pending

    def scheduled(self, kind: str, subject: bytes) -> float | None:
        """When the timer of this kind and subject fires, in seconds; None when none is set."""
        pending = self._pending.get((kind, subject))
        return None if pending is None else pending[1]

    def due(self, timer: Timer) -> float | None:
        """Take a timer that fired: when it was due, in seconds, or None when it is stale."""
        name = (timer.kind, timer.subject)
        pending = self._pending.get(name)
        if pending is None or pending[0] != timer.token:
            return None
        del self._pending[name]
        return pending[1]

"""Bootstrap: members of one pool that do not know each other meet by hellos, which carry vouchers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mesh.protocol.base.context import Context
from mesh.protocol.dissemination.gossip import Gossip
from mesh.protocol.facts.store import FactStore
from mesh.protocol.facts.validation import FactValidator
from mesh.protocol.membership.membership import Membership
from mesh.protocol.trust.roster import Roster
from mesh.wire import messages
from mesh.wire.endpoint import Endpoint
from mesh.wire.envelope import MAX_BODY
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId
from mesh.wire.messages import Bodies, Hello, Message
from mesh.wire.signed_facts import Signed

HELLO, HELLO_AGAIN = "hello", "hello-again"
MAX_HELLO_TARGETS = 512
MAX_REPLIES = 16
_HELLO_ROOM = MAX_BODY - 40


class Bootstrap:
    """The hellos of one member, and the addresses that they go to."""

    def __init__(
        self,
        context: Context,
        roster: Roster,
        store: FactStore,
        validator: FactValidator,
        membership: Membership,
        gossip: Gossip,
    ) -> None:
        self._context = context
        self._roster = roster
        self._store = store
        self._validator = validator
        self._membership = membership
        self._gossip = gossip
        self._hello_targets: dict[Endpoint, int] = {}
        self._silent: dict[Endpoint, None] = {}
        self._replies: dict[Endpoint, float] = {}

    def add_seeds(self, endpoints: Iterable[Endpoint]) -> None:
        """Send hellos to these addresses, a few times each until a member answers from there."""
        for endpoint in endpoints:
            if len(self._hello_targets) < MAX_HELLO_TARGETS and not self._is_own(endpoint):
                self._hello_targets.setdefault(endpoint, 0)
        self.say_hello()

    def say_hello(self) -> None:
        """Send a hello to each seed without an answer; remember those that had their share of hellos."""
        for endpoint, times in list(self._hello_targets.items()):
            if times >= self._context.settings.hello_attempts:
                del self._hello_targets[endpoint]
                self.remember(endpoint)
            else:
                self._hello_targets[endpoint] += 1
                self.send_hello(None, endpoint, answer=True)
        if self._hello_targets:
            self._context.schedule_by(HELLO, b"", self._context.now + self._context.settings.hello_period)

    def targets(self) -> list[Endpoint]:
        """The addresses that get hellos, now or again and again."""
        return [*self._hello_targets, *self._silent]

    def remember(self, endpoint: Endpoint) -> None:
        """No member answers there now: perhaps the network is cut, so try again later."""
        if endpoint not in self._silent and len(self._silent) < MAX_HELLO_TARGETS:
            self._silent[endpoint] = None
        self._context.schedule_by(HELLO_AGAIN, b"", self._context.now + self._pause())

    def _pause(self) -> float:
        """Seconds until the hello to the next silent address: the fewer members are left, the sooner.

        So two parts of a pool that were cut off until they forgot each other meet again within a minute.
        """
        settings = self._context.settings
        return min(settings.hello_again, self._membership.live_count() * settings.dead_period)

    def hello_again(self) -> None:
        """While some members are absent, send a hello to one silent address at a time.

        A member that left may be back there, or a new one may live on the machine of one that is gone.
        """
        if not self._silent:
            return
        # Even while all are present: a later member may live at one of these addresses.
        self._context.schedule_by(HELLO_AGAIN, b"", self._context.now + self._pause())
        if self._membership.live_count() < len(self._roster.members):
            endpoint = next(iter(self._silent))
            del self._silent[endpoint]
            self._silent[endpoint] = None
            self.send_hello(None, endpoint, answer=True)

    def send_hello(self, to: NodeId | None, endpoint: Endpoint, answer: bool) -> None:
        """Introduce this node by its chain of vouchers; links that do not fit beside the hello go ahead."""
        chain = self._roster.chain(self._context.id)
        ahead: list[bytes] = []
        while sum(len(link) + 3 for link in chain) > _HELLO_ROOM:
            ahead.append(chain.pop(0))
        self._context.send_bodies(to, endpoint, ahead)
        self._context.send(to, endpoint, Hello(answer, self._store.summary, tuple(chain)))
        record = self._store.get(Record, self._context.id)
        if record is not None and (to is not None or not _is_large(record)):
            self._context.send_bodies(to, endpoint, [record.data])

    def hello_received(self, sender: NodeId, source: Endpoint, hello: Hello) -> None:
        """A member introduces itself: answer if it asks for that, and compare both sets of facts.

        A record too large for a datagram could not go with the hello that this answers: it goes now, for the
        answer says to whom.
        """
        self._validator.absorb_all(hello.chain, sender)
        record = self._store.get(Record, self._context.id)
        if hello.answer:
            self.send_hello(sender, source, answer=False)
        elif record is not None and _is_large(record):
            self._context.send_bodies(sender, source, [record.data])
        self._gossip.compare(sender, source, hello.summary, eager=True)

    def answered(self, sender: NodeId, source: Endpoint) -> None:
        """A member spoke from ``source``: once its record came, the address needs no further hello.

        Until then hellos go on: the record may have been lost, and nothing else would bring it.
        """
        if sender not in self._membership.peers:
            return
        if self._hello_targets:
            self._hello_targets.pop(source, None)
        if self._silent:
            self._silent.pop(source, None)

    def unknown(self, sender: NodeId, source: Endpoint, message: Message) -> None:
        """A stranger sent a datagram of this pool: take the facts in it, or ask it to introduce itself.

        An evicted sender gets its eviction as an answer, and nothing of its message counts.
        """
        if sender in self._roster.evicted:
            if self._may_reply(source):
                self.show_eviction(sender, source)
            return
        if isinstance(message, Hello):
            self._validator.absorb_all(message.chain, source.host)
        elif isinstance(message, Bodies):
            self._validator.absorb_all(message.facts, source.host)
        if sender not in self._roster and not isinstance(message, Bodies):
            self._ask(source)

    def _ask(self, source: Endpoint) -> None:
        """Introduce this node to a stranger, which then does the same; at most once a second an address."""
        if self._may_reply(source):
            self.send_hello(None, source, answer=True)

    def show_eviction(self, evicted: NodeId, endpoint: Endpoint) -> None:
        """Send an evicted node its eviction, with the vouchers that give the author the right to it."""
        eviction = self._roster.evicted[evicted]
        chain = self._roster.chain(eviction.fact.author)
        self._context.send_bodies(None, endpoint, [*chain, eviction.data])

    def _may_reply(self, source: Endpoint) -> bool:
        """Whether a reply may go there: at most one a second an address, and to few addresses at a time."""
        now = self._context.now
        self._replies = {endpoint: at for endpoint, at in self._replies.items() if now - at < 1.0}
        if source in self._replies or len(self._replies) >= MAX_REPLIES:
            return False
        self._replies[source] = now
        return True

    def _is_own(self, endpoint: Endpoint) -> bool:
        record = self._store.get(Record, self._context.id)
        return record is not None and endpoint in record.fact.profile.addresses


def _is_large(fact: Signed[Any]) -> bool:
    """Whether the fact is too large for a datagram, so that it goes over a stream."""
    return len(messages.encode(Bodies((fact.data,)))) > MAX_BODY

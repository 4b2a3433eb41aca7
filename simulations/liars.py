"""Hosts that lie: with a voucher or without one they forge, replay, suspect, contradict themselves and flood.

Some may lead or even own: what these say is within their rights, until an owner evicts them.

A liar runs a Node as good as any. Beside it the same key sends what it should not. A liar signs with its own
key alone: what it says in another's name carries a wrong signature.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from mesh.wire import codec, messages, signed_facts
from mesh.wire.envelope import MAX_BODY, seal
from mesh.wire.errors import MeshError
from mesh.wire.facts import Claim, Deployment, Liveness, PoolState, Record, Resignation, Suspicion, Voucher
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Model
from mesh.wire.rights import ALL_RIGHTS
from mesh.wire.states import Phase
from mesh.wire.versions import SPOKEN, Versions, marked
from simulations.hosts import Host, HostSigner
from simulations.signing import KeyedHash
from simulations.world import World

_KEPT = 128
_FLOOD = 250
_CLAIMANTS = 8
"""How many unknown authors' facts a datagram of a flood carries: as many as fit."""
_STRANGERS = 5_000_000
_MODEL = Model("lie.gguf", 1, bytes(32))


class Lies:
    """Everything that the liars of one world do; lies have numbers, so that a schedule can name them."""

    def __init__(self, world: World, seed: int, liars: set[NodeId] | None = None) -> None:
        """``liars``: the identities known to lie; those that a liar vouches for are added."""
        self._world = world
        self._liars = set() if liars is None else liars
        self._random = Random(seed)
        self._heard: deque[tuple[Host, Host, bytes]] = deque(maxlen=_KEPT)
        self._strangers = _STRANGERS
        self.kinds: list[Callable[[Host], None]] = [
            self._forge, self._foreign, self._presume, self._suspect_all, self._contradict, self._flood,
            self._garbage, self._replay, self._confuse, self._claim,
            self._vouch, self._evict, self._deploy, self._lead, self._misversion,
        ]  # fmt: skip
        world.taps.append(self._overhear)

    def _overhear(self, source: Host, target: Host, payload: bytes) -> None:
        if self._random.random() < 0.02:
            self._heard.append((source, target, payload))

    def tell(self, kind: int, liar: Host) -> None:
        """Let the host tell one lie of this kind, if its process runs."""
        if liar.node is not None and liar.node.pool is not None and self._world.now >= liar.paused_until:
            self.kinds[kind % len(self.kinds)](liar)

    def _others(self, liar: Host) -> list[Host]:
        return [host for host in self._world.running() if host is not liar]

    def _send(
        self, liar: Host, target: Host, message: messages.Message, signer: HostSigner | None = None
    ) -> None:
        body = messages.encode(message)
        if len(body) <= MAX_BODY and liar.node is not None and liar.node.pool is not None:
            key = signer or liar.signer
            self._world.carry(liar, target, seal(liar.node.pool, key.id, _number(liar), body, key, target.id))

    def _say(self, liar: Host, *said: Any) -> None:
        """Send everyone these facts, signed by the liar, whatever author they name."""
        for fact in said:
            data = signed_facts.sign(fact, liar.signer).data
            for target in self._others(liar):
                self._send(liar, target, messages.Bodies((data,)))

    def _pool(self, liar: Host) -> PoolId:
        assert liar.node is not None
        assert liar.node.pool is not None
        return liar.node.pool

    def _victim(self, liar: Host) -> Host | None:
        others = self._others(liar)
        return self._random.choice(others) if others else None

    # --- the lies

    def _forge(self, liar: Host) -> None:
        """In another's name it leaves, lives on, claims, resigns, deploys, vouches for the liar."""
        victim = self._victim(liar)
        if victim is None or victim.node is None:
            return
        pool, author = self._pool(liar), victim.id
        generation = victim.node.generation + 1
        self._say(
            liar,
            Record(pool, author, generation, bytes(8), 1, True, victim.profile),
            Liveness(pool, author, generation, 7),
            Claim(pool, author, 1000, 1000),
            Resignation(pool, author, 1000, liar.id),
            Deployment(pool, author, 1000, _MODEL, 1, 1, False, ()),
            Voucher(pool, author, 999, bytes(16), liar.signer.public_key, ALL_RIGHTS),
            Suspicion(pool, author, self._world.hosts[0].id, *victim.node.inspect().own_liveness()),
        )

    def _foreign(self, liar: Host) -> None:
        """Well signed, but of a pool of the liar's own."""
        pool = PoolId(bytes([7]) * 16)
        self._say(
            liar,
            Voucher(pool, liar.id, 1, bytes(16), liar.signer.public_key, ALL_RIGHTS),
            Claim(pool, liar.id, 500, 500),
            Deployment(pool, liar.id, 500, _MODEL, 1, 1, True, ()),
        )

    def _presume(self, liar: Host) -> None:
        """Well signed, but without the right: it vouches, deploys, tells the pool's state, names a leader."""
        assert liar.node is not None
        pool, leader = self._pool(liar), liar.node.leader()
        heir = self._random.choice(self._world.hosts).id
        self._say(
            liar,
            Voucher(pool, liar.id, 1, bytes(16), KeyedHash(self._stranger()).public_key, ALL_RIGHTS),
            Deployment(pool, liar.id, 500, _MODEL, 1, 1, False, ()),
            PoolState(pool, liar.id, 500, 1, 1, Phase.FAILED.value, 0.0, "a lie", 0.0, ()),
            Resignation(pool, liar.id, leader.term if leader is not None else 1, heir),
        )

    def _suspect_all(self, liar: Host) -> None:
        """Suspect everyone else."""
        pool = self._pool(liar)
        for victim in self._others(liar):
            if victim.node is not None:
                self._say(liar, Suspicion(pool, liar.id, victim.id, *victim.node.inspect().own_liveness()))

    def _contradict(self, liar: Host) -> None:
        """Two records of one version, each to one half; often its last fact, which nothing later replaces."""
        assert liar.node is not None
        nonce = marked(bytes(8), liar.program.speaks)
        halves: list[bytes] = []
        for name in ("this", "that"):
            profile = dataclasses.replace(liar.profile, name=name)
            record = Record(self._pool(liar), liar.id, liar.node.generation, nonce, 900, False, profile)
            halves.append(signed_facts.sign(record, liar.signer).data)
        for number, target in enumerate(self._others(liar)):
            self._send(liar, target, messages.Bodies((halves[number % 2],)))
        if self._random.random() < 0.5:
            self._world.crash(liar, silent=True)

    def _stranger(self) -> int:
        self._strangers += 1
        return self._strangers

    def _flood(self, liar: Host) -> None:
        """Strangers without a voucher greet, ping and spread facts; and rumours of facts that none holds."""
        victim = next(iter(self._others(liar)), None)
        if victim is None:
            return
        pool, random = self._pool(liar), self._random
        for _ in range(_FLOOD):
            stranger = KeyedHash(self._stranger())
            own = Voucher(pool, stranger.id, 1, bytes(16), stranger.public_key, ALL_RIGHTS)
            link = signed_facts.sign(own, stranger).data
            self._send(liar, victim, messages.Hello(True, bytes(8), (link,)), stranger)
            self._send(liar, victim, messages.Ping(1, bytes(8), 1, 0), stranger)
            claimants = [KeyedHash(self._stranger()) for _ in range(_CLAIMANTS)]
            claims = [
                signed_facts.sign(Claim(pool, claimant.id, 9, 9), claimant).data for claimant in claimants
            ]
            self._send(liar, victim, messages.Bodies(tuple(claims)))
            rumours = (
                messages.Rumour(random.randbytes(8), (2**40, 1), random.randbytes(4)) for _ in range(28)
            )
            self._send(liar, victim, messages.Rumours(tuple(rumours)))

    def _garbage(self, liar: Host) -> None:
        """Bytes that mean nothing, some of them in a valid envelope."""
        random = self._random
        for target in self._others(liar):
            nested = bytes([0x91]) * random.randrange(1, 900)
            for body in (
                random.randbytes(random.randrange(1, 900)),
                nested,
                codec.pack([99, 1]),
                codec.pack([]),
            ):
                sealed = seal(self._pool(liar), liar.id, _number(liar), body, liar.signer, target.id)
                self._world.carry(liar, target, sealed)
            self._world.carry(liar, target, random.randbytes(random.randrange(1200)))

    def _replay(self, liar: Host) -> None:
        """What others sent some time ago, to its receiver and to another host."""
        for source, target, payload in list(self._heard):
            self._world.carry(source, target, payload)
            self._world.carry(liar, self._random.choice(self._world.hosts), payload)

    def _confuse(self, liar: Host) -> None:
        """Answers that none asked for, votes, leases and releases of others' claims."""
        others = self._others(liar)
        for target in others:
            leader = target.node.leader() if target.node is not None else None
            term = leader.term if leader is not None else 1
            data = b""
            if leader is not None and target.node is not None:
                held = [s.data for s in target.node.inspect().facts() if s.fact == leader]
                data = held[0] if held else b""
            for message in (
                messages.Nack(1), messages.Relayed(1, b"lie"), messages.Vote(term + 1, False, data),
                messages.LeaseRequest(target.id, 9, 1, data, b""),
                messages.LeaseRelease(target.id, 2**40, term), messages.LeaseGrant(1, term),
                messages.LeaseRefusal(1, 60_000, data),
                messages.Buckets((bytes(8),) * 64), messages.VoteRequest(term + 1),
            ):  # fmt: skip
                self._send(liar, target, message)

    def _claim(self, liar: Host) -> None:
        """It claims a term far ahead, with a different rank to every other host."""
        pool = self._pool(liar)
        term = 2 ** self._random.choice([self._random.randrange(1, 24), self._random.randrange(21, 62)])
        for number, target in enumerate(self._others(liar)):
            data = signed_facts.sign(Claim(pool, liar.id, term, 100 + number % 2), liar.signer).data
            self._send(liar, target, messages.Bodies((data,)))

    def _misversion(self, liar: Host) -> None:
        """Datagrams in others' names, and records, that say they speak another wire version than they do."""
        pool, random = self._pool(liar), self._random
        body = messages.encode(messages.Ping(1, bytes(8), 1, 0))
        for target in self._others(liar):
            for victim in self._others(liar):
                if victim is target or victim.node is None:
                    continue
                version = random.choice([2, 3, 4, 5, 255])
                number = victim.node.inspect().next_number()
                speaks = Versions(version, version)
                payload = seal(pool, victim.id, number, body, liar.signer, target.id, speaks)
                self._world.carry(liar, target, payload)
                generation = victim.node.generation + 1
                nonce = marked(bytes(8), Versions(version, version + 1) if version < 255 else speaks)
                record = Record(pool, victim.id, generation, nonce, 1, False, victim.profile)
                forged = signed_facts.sign(record, liar.signer, min(version, SPOKEN.newest)).data
                self._send(liar, target, messages.Bodies((forged,)))

    # --- lies within a liar's rights

    def _vouch(self, liar: Host) -> None:
        """It vouches for a stranger with all rights, which claims at once."""
        pool, stranger = self._pool(liar), KeyedHash(self._stranger())
        try:
            self._world.do(liar, "vouch", stranger.public_key, ALL_RIGHTS)
        except MeshError:
            return
        self._world.vouched(liar, stranger, ALL_RIGHTS)
        self._liars.add(stranger.id)
        said = (
            Record(pool, stranger.id, 1, bytes(8), 1, False, liar.profile),
            Claim(pool, stranger.id, 7, 9),
        )
        for target in self._others(liar):
            for fact in said:
                self._send(liar, target, messages.Bodies((signed_facts.sign(fact, stranger).data,)))

    def _evict(self, liar: Host) -> None:
        """It evicts some member, seldom the founder."""
        victim = self._victim(liar)
        if victim is None or (victim.number == 0 and self._random.random() < 0.9):
            return
        with suppress(MeshError):
            self._world.evict(liar, victim.id)

    def _deploy(self, liar: Host) -> None:
        """It deploys a model that none has; sometimes with a number that no owner can exceed."""
        if self._random.random() < 0.5:
            number = self._random.choice([2**30, 2**63 - 2, 2**63 - 1])
            self._say(liar, Deployment(self._pool(liar), liar.id, number, _MODEL, 1, 1, True, ()))
            return
        with suppress(MeshError):
            self._world.do(liar, "deploy", _MODEL, 1, 1, True)

    def _lead(self, liar: Host) -> None:
        """It claims the next term, with a rank that no node can have."""
        assert liar.node is not None
        leader = liar.node.leader()
        self._say(liar, Claim(self._pool(liar), liar.id, 1 + (leader.term if leader else 0), 2**40))


def _number(liar: Host) -> int:
    """The number of its next datagram: receivers would drop one that looks old."""
    assert liar.node is not None
    return liar.node.take_number()

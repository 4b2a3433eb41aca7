"""A worker among leaders of all kinds: whatever they do in any order, it is bound to one at a time.

Beside the real Node stands what it must keep to, written down as plainly as can be.
"""

import math

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mesh.protocol.base.effects import Persist
from mesh.wire import codec
from mesh.wire.messages import LeaseGrant, LeaseRelease, LeaseRequest
from simulations import mutants
from tests.mesh.protocol.stage import Stage

LEADERS = 3

leaders = st.integers(0, LEADERS - 1)


class Worker(RuleBasedStateMachine):
    """The Node never leads (its rank is 0); three others claim, ask, release, resign, die and start anew."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(rank=0)
        self.leaders = [self.stage.member(2 + number, rank=50 - number) for number in range(LEADERS)]
        self.terms = [0] * LEADERS
        self.numbers = 0
        self.granted: tuple[int, int, bytes] = (0, 0, b"")
        """The order of the highest claim that was ever granted, as far as the disk goes back."""
        self.holder: int | None = None
        self.term = 0
        self.until = -math.inf
        """The leader that may rely on a lease, the lease's term, and until when."""
        self.same_process = True
        """Whether the holder is still the process that asked."""
        self.barred_until = -math.inf
        self.disks = [dict(self.stage.disk)]

    def others_are_kept_out(self, leader: int) -> bool:
        """Whether another relies on the lease, and is not known to be gone."""
        if self.holder in (None, leader) or self.stage.now >= self.until:
            return False
        assert self.holder is not None
        return self.same_process and self.stage.state_of(self.leaders[self.holder]) not in ("dead", "left")

    # --- what leaders do

    @rule(leader=leaders, ahead=st.integers(0, 2))
    def claims(self, leader: int, ahead: int) -> None:
        term = max(self.terms) + ahead
        if term > self.terms[leader]:
            self.terms[leader] = term
            self.leaders[leader].tells(self.leaders[leader].claim(term))

    @rule(leader=leaders)
    def asks(self, leader: int) -> None:
        actor, stage, term = self.leaders[leader], self.stage, self.terms[leader]
        self.numbers += 1
        kept_out = self.others_are_kept_out(leader)
        stage.take(LeaseGrant)
        stored, promise = stage.disk.get("grant"), codec.pack([actor.claim(term), actor.generation])
        request = LeaseRequest(stage.node.id, self.numbers, actor.generation, actor.claim(term), b"")
        effects = actor.says(request)
        if not stage.take(LeaseGrant, actor):
            return
        order = (term, actor.rank, bytes(actor.id))
        assert order >= self.granted, "a lower claim than before was granted"
        assert stage.now >= self.barred_until, "something was granted within a lease of a start"
        assert not kept_out, "it was granted to two"
        kinds = [e.key if isinstance(e, Persist) else type(e).__name__ for e in effects]
        is_stored = stored == promise or "grant" in kinds[: kinds.index("Send")]
        assert is_stored, "the answer was sent before it was stored"
        self.granted, self.holder, self.term, self.same_process = order, leader, term, True
        self.until = stage.now + stage.settings.lease
        self.disks.append(dict(stage.disk))

    @rule(leader=leaders)
    def gives_back(self, leader: int) -> None:
        self.leaders[leader].says(LeaseRelease(self.stage.node.id, self.numbers, self.terms[leader]))
        if (self.holder, self.term) == (leader, self.terms[leader]):
            self.holder = None

    @rule(leader=leaders)
    def resigns(self, leader: int) -> None:
        self.leaders[leader].tells(self.leaders[leader].resignation(self.terms[leader]))
        if self.holder == leader:
            self.holder = None

    @rule(leader=leaders)
    def starts_anew(self, leader: int) -> None:
        self.leaders[leader].generation += 1
        self.leaders[leader].tells(self.leaders[leader].record())
        self.same_process &= self.holder != leader

    @rule(leader=leaders)
    def falls_silent_or_speaks_again(self, leader: int) -> None:
        self.leaders[leader].answers = not self.leaders[leader].answers

    # --- what happens to the worker

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 9.9, 11.0]))
    def waits(self, seconds: float) -> None:
        self.stage.wait(seconds)

    @rule(seconds=st.sampled_from([0.1, 5.0]))
    def starts_again(self, seconds: float) -> None:
        before = self.stage
        self.stage = before.restarted(seconds)
        for actor in self.leaders:
            actor.meets(self.stage)
        self.barred_until = self.stage.now + self.stage.settings.lease
        self.holder = None

    @rule(seconds=st.sampled_from([0.1, 5.0]), back=st.integers(1, 3))
    def starts_again_from_an_older_disk(self, seconds: float, back: int) -> None:
        self.stage.disk = dict(self.disks[-min(back, len(self.disks))])
        self.granted = (0, 0, b"")
        self.starts_again(seconds)

    # --- what always holds

    @invariant()
    def the_gate_is_open_to_the_holder_alone(self) -> None:
        claim = self.stage.node.holder(self.stage.now)
        if claim is not None:
            assert self.holder is not None
            assert (claim.author, claim.term) == (self.leaders[self.holder].id, self.term)
            assert self.stage.now < self.until


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    "mutant",
    [
        "grants are not stored",
        "a bound worker grants its lease",
        "a restarted worker grants its lease at once",
        "a worker grants its lease to lower claims",
    ],
)
def test_a_worker_that_breaks_its_promises_is_caught(mutant: str) -> None:
    plenty = settings(TestWorker.settings, max_examples=300, derandomize=True, phases=[Phase.generate])
    with mutants.applied(mutant), pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(Worker, settings=plenty)

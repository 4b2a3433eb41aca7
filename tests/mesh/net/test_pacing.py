"""The rate of bulk bytes on a link: it fills one that is free, and leaves no queue on a slow one."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.net.pacing import FIRST_RATE, FORGET, LEAST_RATE, MOST_RATE, QUEUE, Pacer

PEER = b"p" * 16
BLOCK = 64 << 10


class Link:
    """A link of ``capacity`` bytes a second; its queue delays everybody, and round trips are averaged."""

    def __init__(self, capacity: float, trip: float = 0.002) -> None:
        self.capacity = capacity
        self.trip = trip
        self.seen = trip
        self.queued = 0.0
        self.longest = 0.0
        self.passed = 0.0

    def take(self, elapsed: float, count: float) -> None:
        before = self.queued
        self.queued = max(0.0, self.queued + count - self.capacity * elapsed)
        self.passed += before + count - self.queued
        self.longest = max(self.longest, self.queued / self.capacity)
        self.seen += 0.125 * (self.trip + self.queued / self.capacity - self.seen)


def send(pacer: Pacer, link: Link, start: float, seconds: float) -> float:
    """Send as much as the pacer allows for so long; bytes a second that passed."""
    now, judged, told, passed = start, start, start, link.passed
    while now < start + seconds:
        wait = pacer.delay(now, BLOCK)
        now += wait
        if now - told >= 0.05:
            link.take(now - told, 0)
            told = now
        link.queued += BLOCK
        if now - judged >= 0.25:
            pacer.judge(now, {PEER: link.seen})
            judged = now
    return (link.passed - passed) / seconds


def test_bytes_leave_at_the_rate() -> None:
    pacer = Pacer(0.0)
    now = 0.0
    for _ in range(200):
        now += pacer.delay(now, BLOCK)
    assert 0.9 * FIRST_RATE < 200 * BLOCK / now < 1.1 * FIRST_RATE


def test_a_pause_earns_no_burst() -> None:
    pacer = Pacer(0.0)
    waits = [pacer.delay(100.0, BLOCK) for _ in range(20)]
    assert sum(wait == 0.0 for wait in waits) <= 3
    assert waits[-1] > 0.2


def test_a_free_link_is_filled_within_seconds() -> None:
    pacer, link = Pacer(0.0), Link(1e9)
    send(pacer, link, 0.0, 6.0)
    assert pacer.rate > 100e6


def test_a_slow_link_is_used_well_without_a_lasting_queue() -> None:
    pacer, link = Pacer(0.0), Link(2e6)
    send(pacer, link, 0.0, 20.0)
    link.longest = 0.0
    used = send(pacer, link, 20.0, 60.0)
    assert used > 0.6 * link.capacity
    assert link.longest < 0.3


def test_round_trips_that_grow_slow_it_down_to_the_floor_and_no_further() -> None:
    pacer, now = Pacer(0.0), 0.0
    pacer.judge(0.1, {PEER: 0.001})
    for step in range(40):
        now = 2.0 * (step + 1)
        pacer.delay(now, BLOCK)
        pacer.judge(now, {PEER: 0.001 + 2 * QUEUE})
        if now > FORGET - 4:
            break
    assert pacer.rate == LEAST_RATE


def test_a_longer_way_is_no_queue_for_ever() -> None:
    """A peer's packets took another way: after a minute the longer round trip counts as what it is."""
    pacer = Pacer(0.0)
    pacer.judge(0.1, {PEER: 0.001})
    rates = []
    for step in range(1, 400):
        now = 0.5 * step
        for _ in range(int(0.5 * pacer.rate / BLOCK)):
            pacer.delay(now, BLOCK)
        pacer.judge(now, {PEER: 0.1})
        rates.append(pacer.rate)
    assert rates[100] == LEAST_RATE
    assert rates[-1] > 4 * LEAST_RATE


def test_a_rate_that_nobody_uses_does_not_grow() -> None:
    pacer = Pacer(0.0)
    for step in range(1, 50):
        pacer.judge(float(step), {PEER: 0.001})
    assert pacer.rate == FIRST_RATE


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(0, 1 << 26), st.floats(0.0, 3.0)), max_size=60))
def test_the_rate_keeps_to_its_bounds_whatever_the_network_does(
    steps: list[tuple[float, int, float]],
) -> None:
    pacer, now = Pacer(0.0), 0.0
    for elapsed, count, trip in steps:
        now += elapsed
        assert pacer.delay(now, count) >= 0.0
        pacer.judge(now, {PEER: trip})
        assert LEAST_RATE <= pacer.rate <= MOST_RATE

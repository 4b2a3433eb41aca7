"""The protocol's numbers, in seconds unless they say otherwise; the defaults suit a LAN.

Why these, for a pool of 100 with random loss p of every datagram. One try fails with f = 1 - (1 - p)^2: 0.36
at p = 0.2, 0.1 at 0.05. A question tries directly 7 times in probe_timeout, through 3 relays 4 times each
(fails with 1 - (1 - p)^4 = 0.59) and by TCP (as often): all fail with f^7 0.59^13 = 10^-6 at p = 0.2. A
member asks 12,000 times an hour, so it is suspected for nothing about once in 100 hours. Then 99 others tell
it and ask about twice as often again before any holds it dead: it is enough that one is heard and hears it.

A crash is known to all after the first question by anyone (median 0.7 periods, 99th percentile 4.6), then
probe_timeout and suspicion: 1.8 s and 3.0 s. A member whose round trip leaps to 1 s is accused after
probe_timeout; accusers tell it directly, so its answer is everywhere before the suspicion is over.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Every member of a pool should run with the same lease; the rest may differ."""

    probe_period: float = 0.3
    """From one probe to the next; stretched by the local health multiplier."""
    retry: float = 0.08
    """A ping without an answer is sent again after this, or after a round trip, at most three times this."""
    direct_timeout: float = 0.16
    """How long a direct answer is awaited before others are asked to probe."""
    probe_timeout: float = 0.5
    """From a probe's start until the member is accused."""
    relays: int = 3
    """How many members are asked to probe in one's stead."""
    max_local_health: int = 8
    """Bound of the local health multiplier (Lifeguard)."""
    suspicion_timeout: float = 1.05
    """The shortest suspicion in a pool of up to 100 members; one more of it for each factor of ten above."""
    suspicion_timeout_stretch: float = 3.0
    """How much longer a single accuser has to wait."""
    final_probe: float = 0.5
    """How long before the end of a suspicion the suspect is asked once more."""
    reset_suspicion_timeout: float = 0.1
    """The suspicion of a member whose process was seen to be gone by this very node."""
    volunteers: int = 8
    """About how many of a large pool probe out of turn when one member is accused, ..."""
    all_volunteers: int = 128
    """... and all of a pool of up to this size; so many of any pool when its machine is said to refuse."""
    flap_window: float = 15.0
    flap_suspicions: int = 14
    """So many accusations within the window, by more than half of its probers, make a member unsteady ..."""
    quarantine: float = 30.0
    max_quarantine: float = 3600.0
    """... for so long, twice as long each time."""
    suspectors: int = 3
    """Independent accusers that shorten a suspicion to the shortest, and how many accusations are kept."""
    stall: float = 0.5
    """A timer this late means that this very process was paused: nobody is judged by what it missed."""
    gossip_period: float = 0.1
    fanout: int = 4
    survived_loss: float = 0.2
    """Rumours are told so often that news reach everyone though this share of all datagrams is lost."""
    sync_period: float = 0.5
    """At most one comparison of all facts is begun in this time."""
    dead_period: float = 1.0
    """How often one of the members held dead is asked whether it is back."""
    hello_attempts: int = 4
    """How often an address is greeted before it is given up."""
    hello_period: float = 0.4
    hello_again: float = 5.0
    """How often one of the silent addresses is greeted while some member is not present, by each of many."""
    startup_delay: float = 2.5
    """How long after its start a member waits to hear the others before it would lead."""
    startup_delay_heard: float = 0.3
    """The same, once it has heard one of them."""
    election_delay: float = 1.0
    """How much longer the next in rank waits for the one before it to claim."""
    vote_timeout: float = 0.4
    better: float = 1.1
    """A leader keeps leading against a higher claim when its rank is this many times the claim's."""
    reap_dead: float = 3600.0
    """A member held dead for so long is forgotten, ..."""
    reap_left: float = 600.0
    """... or gone by its own word for so long, ..."""
    max_gone: int = 1024
    """... or among more such than this, those first who are gone longest."""
    max_term_jump: int = 2**20
    lease: float = 10.0
    renew: float = 2.0
    lease_retry: float = 0.5
    drift: float = 0.02
    """Clocks differ in rate by less than this; a leader counts its lease shorter by it."""
    state_period: float = 2.0
    """At most one fact of the pool's state in this time, ..."""
    state_burst: float = 0.3
    """... and one in this time when its phase changes."""

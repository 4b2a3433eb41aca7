"""The protocol's numbers, in seconds unless they say otherwise; the defaults suit a LAN.

Why these, for a pool of 100 with random loss p of every datagram. One try fails with f = 1 - (1 - p)^2: 0.36
at p = 0.2, 0.1 at 0.05. A probe tries directly 7 times in probe_timeout, through 3 relays 4 times each
(fails with 1 - (1 - p)^4 = 0.59) and by TCP (as often): all fail with f^7 0.59^13 = 10^-6 at p = 0.2. A
member probes 12,000 times an hour, so a false suspicion comes about once in 100 hours. Then 99 others inform
the suspect and probe about twice as often again before any holds it dead. One of them that is heard, and
hears the answer, suffices.

All know of a crash after the first probe by any member (median 0.7 periods, 99th percentile 4.6), then
probe_timeout and suspicion: 1.8 s and 3.0 s. A member whose round trip leaps to 1 s is suspected after
probe_timeout; the suspectors inform it directly, so its refutation is everywhere before the suspicion ends.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Every member of a pool should run with the same lease; the rest may differ."""

    probe_period: float = 0.3
    """From one probe to the next; stretched by the local health multiplier."""
    retry: float = 0.08
    """A prober pings again after this without an answer, or after a round trip, at most three times this."""
    direct_timeout: float = 0.16
    """How long a prober waits for a direct answer before it asks relays."""
    probe_timeout: float = 0.5
    """From a probe's start until its failure raises a suspicion."""
    relays: int = 3
    """How many members relay an indirect probe (SWIM's k)."""
    max_local_health: int = 8
    """Bound of the local health multiplier (Lifeguard)."""
    suspicion_timeout: float = 1.05
    """The shortest suspicion in a pool of up to 100 members; one more of it for each factor of ten above."""
    suspicion_timeout_stretch: float = 3.0
    """By this factor a suspicion with a single suspector lasts longer."""
    final_probe: float = 0.5
    """How long before the end of a suspicion the final probe of the suspect goes out."""
    reset_suspicion_timeout: float = 0.1
    """The suspicion of a member whose process this node itself saw to be gone."""
    volunteers: int = 8
    """About how many members of a large pool volunteer to probe a suspect out of turn, ..."""
    all_volunteers: int = 128
    """... and all of a pool of up to this size; so many of any pool when the suspect's port was refused."""
    flap_window: float = 15.0
    flap_suspicions: int = 14
    """So many suspicions within the window, by more than half of its probers, quarantine a member ..."""
    quarantine: float = 30.0
    max_quarantine: float = 3600.0
    """... for so long, twice as long each time."""
    suspectors: int = 3
    """So many independent suspectors shorten a suspicion to the shortest, and so many suspicions are kept."""
    stall: float = 0.5
    """A timer this late means that this process was paused: it judges no member by what it missed."""
    gossip_period: float = 0.1
    fanout: int = 4
    survived_loss: float = 0.2
    """Members repeat a rumour so often that it reaches all though this share of datagrams is lost."""
    sync_period: float = 0.5
    """A member begins at most one comparison of all facts (anti-entropy) in this time."""
    dead_period: float = 1.0
    """How often a member pings one of those that it holds dead, in case it is back."""
    hello_attempts: int = 4
    """How many hellos an address gets before it counts as silent."""
    hello_period: float = 0.4
    hello_again: float = 5.0
    """How often each of many members sends a hello to a silent address while some member is absent."""
    startup_delay: float = 2.5
    """How long a member listens after its start before it campaigns."""
    startup_delay_heard: float = 0.3
    """The same, once it has heard another member."""
    election_delay: float = 1.0
    """How much longer each rank waits than the one before it, so that the better one claims first."""
    vote_timeout: float = 0.4
    better: float = 1.1
    """A leader reclaims against a higher claim when its rank is this many times the claim's."""
    reap_dead: float = 3600.0
    """A node forgets a member that it held dead for so long, ..."""
    reap_left: float = 600.0
    """... or that left so long ago, ..."""
    max_gone: int = 1024
    """... or that is one of more such members than this, the longest gone first."""
    form_delay: float = 5.0
    """How long after the last member of an older version is gone a node signs in the newer form."""
    max_term_jump: int = 2**20
    lease: float = 10.0
    renew: float = 2.0
    lease_retry: float = 0.5
    drift: float = 0.02
    """The rates of two clocks differ by less than this; a leader counts its lease shorter by it."""
    state_period: float = 2.0
    """A leader signs at most one pool state in this time, ..."""
    state_burst: float = 0.3
    """... and one in this time when the phase changes."""

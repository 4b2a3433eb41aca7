"""Which member copies the deployed model next. Pure.

A copy counts where a member that is alive and may lead holds it: only such a member can serve when the leader
is lost. A copy at a member that vanished counts for a while longer, for most come back, and a copy is
expensive. Copies are made one after another, so that the first is there soonest and then helps with the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from mesh.wire.amounts import size_text

MARGIN: Final = 1 << 30
"""Bytes of the disk that a copy leaves free."""

PATIENCE: Final = 60.0
"""Seconds that a copy still counts after its holder vanished."""


@dataclass(frozen=True, slots=True)
class Site:
    """A member as a place for a copy.

    ``holds`` all of it, or ``done`` bytes of it, verified. When it is not ``alive`` it has been ``away`` for
    so many seconds. ``free`` bytes are left on its disk, None while it has not reported that. ``fetching``:
    it copies right now. ``trouble`` is why it failed a moment ago. ``memory``: bytes that it offers.
    """

    id: bytes
    name: str
    alive: bool = True
    away: float = inf
    lead: bool = True
    holds: bool = False
    done: int = 0
    free: int | None = None
    fetching: bool = False
    trouble: str = ""
    memory: int = 0


@dataclass(frozen=True, slots=True)
class NextCopy:
    """The member to copy now, if any, as ``fetch``; and what a person should know.

    ``lacking`` says why the pool has too few copies; it is empty while nothing is in the way.
    """

    fetch: bytes | None = None
    lacking: str = ""


def next_copy(
    sites: Sequence[Site], leader: bytes, size: int, copies: int, scattered: bool = False
) -> NextCopy:
    """Which member copies a model of ``size`` bytes next, to have ``copies``; ``leader`` comes first.

    ``scattered``: there is all of it, but its files are held by different members.
    """
    holders = [site for site in sites if site.alive and site.holds]
    held = [site for site in sites if counts(site)]
    if not (holders or scattered):
        return NextCopy(lacking="no machine that is alive holds the model")
    if len(held) >= copies or any(site.alive and site.fetching for site in sites):
        return NextCopy()
    fit = [site for site in sites if _why_not(site, size) is None]
    best = min(fit, key=lambda site: _preference(site, leader), default=None)
    if best is not None:
        return NextCopy(best.id)
    return NextCopy(lacking=_lacking(sites, len(held), size, copies)) if len(sites) > 1 else NextCopy()


def counts(site: Site) -> bool:
    """Whether there is a copy that helps when the leader is lost."""
    return site.holds and site.lead and (site.alive or site.away < PATIENCE)


def missing_room(free: int, size: int, done: int) -> int:
    """Bytes missing on a disk for the rest of a copy and the margin; 0 when there is room."""
    return max(0, size - done + MARGIN - free)


def _preference(site: Site, leader: bytes) -> tuple[bool, int, int, int, bytes]:
    return (site.id != leader, -site.done, -site.memory, -(site.free or 0), site.id)


def _why_not(site: Site, size: int) -> str | None:
    """Why no copy can be made there now; None when one can."""
    if not site.alive:
        return "is not reachable"
    if not site.lead:
        return "may not lead"
    if site.holds:
        return "holds it"
    if site.free is None:
        return "does not answer"
    if missing := missing_room(site.free, size, site.done):
        return f"lacks {size_text(missing)} of disk space"
    return site.trouble or None


def _lacking(sites: Iterable[Site], held: int, size: int, copies: int) -> str:
    absent = sorted((site for site in sites if not (site.alive and site.holds)), key=lambda site: site.name)
    others = [(site.name, _why_not(site, size)) for site in absent]
    said = f"{held} of {copies} copies"
    return f"{said}: {', '.join(f'{name} {why}' for name, why in others)}"

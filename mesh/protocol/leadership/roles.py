"""What a member can be in an election, and by what it becomes that: the table that the election follows."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a member is in an election."""

    OUTSIDE = "outside"
    WAITING = "waiting"
    CANDIDATE = "candidate"
    LEADER = "leader"
    FOLLOWER = "follower"


class RoleEvent(StrEnum):
    """What happens to it."""

    STARTED = "starts"
    HEARD = "hears a leader"
    LOST = "hears no leader any more"
    DELAY_ELAPSED = "election delay elapsed"
    WON = "wins the vote"
    REFUSED = "loses the vote, or hears no answer"
    NAMED = "is named successor"
    RECLAIMED = "reclaims in a higher term"
    YIELDED = "steps down"
    PAUSED = "its process was paused"
    STOPPED = "leaves, or is evicted"
    """A leader gives up its claim first."""


ROLES: dict[tuple[Role, RoleEvent], Role] = {
    (Role.OUTSIDE, RoleEvent.STARTED): Role.WAITING,
    (Role.WAITING, RoleEvent.HEARD): Role.FOLLOWER,
    (Role.CANDIDATE, RoleEvent.HEARD): Role.FOLLOWER,
    (Role.FOLLOWER, RoleEvent.LOST): Role.WAITING,
    (Role.WAITING, RoleEvent.DELAY_ELAPSED): Role.CANDIDATE,
    (Role.CANDIDATE, RoleEvent.WON): Role.LEADER,
    (Role.CANDIDATE, RoleEvent.REFUSED): Role.WAITING,
    (Role.WAITING, RoleEvent.NAMED): Role.LEADER,
    (Role.CANDIDATE, RoleEvent.NAMED): Role.LEADER,
    (Role.FOLLOWER, RoleEvent.NAMED): Role.LEADER,
    (Role.LEADER, RoleEvent.RECLAIMED): Role.LEADER,
    (Role.LEADER, RoleEvent.YIELDED): Role.WAITING,
    (Role.WAITING, RoleEvent.PAUSED): Role.WAITING,
    (Role.CANDIDATE, RoleEvent.PAUSED): Role.WAITING,
    (Role.LEADER, RoleEvent.PAUSED): Role.LEADER,
    (Role.FOLLOWER, RoleEvent.PAUSED): Role.FOLLOWER,
    (Role.OUTSIDE, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.WAITING, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.CANDIDATE, RoleEvent.STOPPED): Role.OUTSIDE,
    (Role.FOLLOWER, RoleEvent.STOPPED): Role.OUTSIDE,
}

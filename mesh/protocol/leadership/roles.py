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


class Turn(StrEnum):
    """What happens to it."""

    STARTED = "starts"
    HEARD = "hears a leader"
    LOST = "hears none any more"
    STOOD = "its turn comes"
    WON = "more say yes than no"
    REFUSED = "more say no, or nobody"
    NAMED = "is named successor"
    BID = "claims anew, higher"
    YIELDED = "gives up its claim"
    PAUSED = "its process was paused"
    STOPPED = "leaves, or is expelled"
    """A leader gives up its claim first."""


ROLES: dict[tuple[Role, Turn], Role] = {
    (Role.OUTSIDE, Turn.STARTED): Role.WAITING,
    (Role.WAITING, Turn.HEARD): Role.FOLLOWER,
    (Role.CANDIDATE, Turn.HEARD): Role.FOLLOWER,
    (Role.FOLLOWER, Turn.LOST): Role.WAITING,
    (Role.WAITING, Turn.STOOD): Role.CANDIDATE,
    (Role.CANDIDATE, Turn.WON): Role.LEADER,
    (Role.CANDIDATE, Turn.REFUSED): Role.WAITING,
    (Role.WAITING, Turn.NAMED): Role.LEADER,
    (Role.CANDIDATE, Turn.NAMED): Role.LEADER,
    (Role.FOLLOWER, Turn.NAMED): Role.LEADER,
    (Role.LEADER, Turn.BID): Role.LEADER,
    (Role.LEADER, Turn.YIELDED): Role.WAITING,
    (Role.WAITING, Turn.PAUSED): Role.WAITING,
    (Role.CANDIDATE, Turn.PAUSED): Role.WAITING,
    (Role.LEADER, Turn.PAUSED): Role.LEADER,
    (Role.FOLLOWER, Turn.PAUSED): Role.FOLLOWER,
    (Role.OUTSIDE, Turn.STOPPED): Role.OUTSIDE,
    (Role.WAITING, Turn.STOPPED): Role.OUTSIDE,
    (Role.CANDIDATE, Turn.STOPPED): Role.OUTSIDE,
    (Role.FOLLOWER, Turn.STOPPED): Role.OUTSIDE,
}

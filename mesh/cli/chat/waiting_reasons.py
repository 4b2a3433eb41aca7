"""What an answer waits for, and who computes it, by the status of the pool. Pure."""

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from mesh.control.operations import DeploymentStatus, LeaderStatus, Status


class WaitingReason(NamedTuple):
    """``text`` for people; ``loss``: a leader or its engine was lost, which is no ordinary wait."""

    text: str
    loss: bool


@dataclass
class WaitingFor:
    """How far an answer is, as its stream tells."""

    leader: LeaderStatus | None
    """Of the part of the answer before this wait."""
    opened: bool = False
    begun: bool = False
    awaited: bool = False
    """Since its last piece, the gateway has said that it waits for a leader."""
    read: float | None = None
    """How much of the prompt was read, 0..1."""


def why_waiting(waiting: WaitingFor, status: Status | None) -> WaitingReason:
    """Say what is waited for; ``status`` is None where the sidecar did not tell."""
    if status is None:
        return WaitingReason("the sidecar of this machine does not answer", waiting.awaited)
    deployment, leader = status["deployment"], status["leader"]
    if deployment is None:
        return WaitingReason("nothing is served any more", waiting.awaited)
    if leader is None:
        lost = waiting.awaited or waiting.leader is not None
        text = "the leader was lost, waiting for the next" if lost else "the pool has no leader yet"
        return WaitingReason(text, lost)
    ready = deployment["state"] == "ready"
    state = _in_words(deployment)
    if is_another(waiting.leader, leader):
        if ready:
            return takes_up(leader)
        return WaitingReason(f"{leader['name']} leads now and the model is {state}", True)
    if waiting.awaited:
        doing = "waiting" if ready else f"the model is {state}"
        return WaitingReason(f"the leader was lost, {doing}", True)
    if not ready:
        return WaitingReason(f"the model is {state}", False)
    if waiting.begun:
        return WaitingReason("waiting for the next token", False)
    if not waiting.opened:
        return WaitingReason("waiting for a slot", False)
    read = "" if waiting.read is None else f", {waiting.read:.0%}"
    return WaitingReason(f"reading the prompt{read}", False)


def takes_up(leader: LeaderStatus) -> WaitingReason:
    """Say that another leader goes on with the answer."""
    return WaitingReason(f"{leader['name']} leads now and takes up the answer", True)


def _in_words(deployment: DeploymentStatus) -> str:
    text = "not loaded yet" if deployment["state"] == "waiting" else str(deployment["state"])
    if deployment["state"] in ("loading", "copying", "moving"):
        text += f", {deployment['progress']:.0%}"
    return f"{text}: {deployment['reason']}" if deployment["reason"] else text


def is_another(before: LeaderStatus | None, now: LeaderStatus | None) -> bool:
    """Whether another member leads now."""
    return before is not None and now is not None and before["id"] != now["id"]


def loss_in_words(before: LeaderStatus | None, now: LeaderStatus | None) -> str:
    """Say what a pause was in which a leader, or its engine, was lost."""
    if before is None or now is None:
        return "the leader was lost"
    if is_another(before, now):
        return f"the leader {before['name']} was lost, {now['name']} leads now"
    return f"the engine of the leader, {now['name']}, or the way to it was lost"


class ComputedBy(TypedDict):
    """A device's layers, [first, last]; with the head alone, the last is before the first."""

    member: str
    name: str
    device: str
    layers: list[int]


def computed_by(status: Status) -> list[ComputedBy]:
    """Which members compute, by the plan."""
    names = {member["id"]: member["name"] for member in status["members"]}
    stages = status["plan"]["stages"] if status["plan"] else []
    return [
        {
            "member": one["member"],
            "name": names.get(one["member"], one["member"][:8]),
            "device": one.get("device", ""),
            "layers": one["layers"],
        }
        for one in stages
    ]

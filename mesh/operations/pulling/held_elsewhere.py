"""A model that another member holds: who, and its shape."""

from leader.model.model_info import ModelInfo
from mesh.copies.copy_manager import may_lead
from mesh.copies.header_fetch import fetch_shape
from mesh.member.stay import Stay
from mesh.operations.home import EmitEvent
from mesh.protocol.membership.peers import MemberState
from mesh.protocol.node.node import Member
from mesh.runtime.status import name_of
from mesh.wire.errors import MeshError
from mesh.wire.profile import Model

ROOT_BYTES = 32


def root_of(text: str) -> bytes:
    """A model's root from its hexadecimal digits. Raises MeshError."""
    try:
        root = bytes.fromhex(text)
    except ValueError:
        root = b""
    if len(root) != ROOT_BYTES:
        raise MeshError(f"{text[:80]!a} is no model's hash", "see what the pool holds: mesh models --json")
    return root


def model_held_by(member: Member, root: bytes) -> Model | None:
    """The model as that member's record tells of it, while the member is alive."""
    if member.state is not MemberState.ALIVE or member.record is None:
        return None
    return next((model for model in member.record.profile.models if model.root == root), None)


async def shape_of_held(pool: Stay, root: bytes, emit: EmitEvent) -> tuple[Model, ModelInfo]:
    """The model, as a member that is alive and may lead tells of it, and its shape from such a member.

    The nearest is asked first. Raises MeshError.
    """
    holding = [
        (member.rtt or 0.0, member.id, model)
        for member in pool.node.members()
        if may_lead(member) and (model := model_held_by(member, root)) is not None
    ]
    holding = sorted((one for one in holding if one[1] != pool.node.id), key=lambda one: one[:2])
    if not holding:
        raise MeshError(
            "no machine that is alive and may lead holds that model", "see who holds what: mesh models"
        )
    model = holding[0][2]
    names = {id: name_of(pool.node, id) for _, id, _ in holding}
    endpoints = {id: pool.driver.endpoints(id) for id in names}
    await emit({"text": f"asking {names[holding[0][1]]} for the header of {model.name}"})
    return model, await fetch_shape(pool.machine.streams, model, endpoints, names)

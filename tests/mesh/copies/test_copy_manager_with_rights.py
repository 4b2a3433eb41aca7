"""Who may have a copy of a model, and who may not."""

import pytest
from trio.testing import MockClock

from leader.model.held_models import Models
from mesh.copies.copy_manager import CopyManager
from mesh.net.stream_kinds import StreamKind
from mesh.wire.rights import Rights
from tests.mesh.machines import Ground


@pytest.mark.parametrize(
    ("rights", "answer"),
    [
        (Rights.WORK, "only members that may lead copy models"),
        (Rights.WORK | Rights.OWN, "only members that may lead copy models"),
        (Rights.LEAD, "it is not here any more"),
    ],
)
async def test_a_model_is_given_to_members_that_may_lead(
    clock: MockClock, ground: Ground, rights: Rights, answer: str
) -> None:
    anna, bert = await ground.machine("anna"), await ground.machine("bert")
    anna.found()
    assert anna.driver is not None
    models = Models(anna.state.path / "models.json")
    anna.handlers[StreamKind.COPY] = CopyManager(anna.machine(None), anna.driver, models).handle_piece
    bert.enter(await bert.search().by_host(anna.endpoint, anna.invite(rights=rights)))
    await ground.acquaint(anna, bert)
    session = await bert.streams.open(anna.id, [anna.endpoint], StreamKind.COPY, {"model": bytes(32)})
    assert await session.receive_message() == {"ok": False, "reason": answer}
    await session.aclose()

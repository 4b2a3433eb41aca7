import pytest

from leader.door.askers.right_to_ask import barred
from mesh.wire.rights import ALL_RIGHTS, Rights


@pytest.mark.parametrize("rights", [Rights.WORK, Rights(0), ALL_RIGHTS, Rights.OWN | Rights.NO_ASK])
def test_who_may_ask_is_not_barred(rights: Rights) -> None:
    assert barred(rights) is None


@pytest.mark.parametrize("rights", [Rights.NO_ASK, Rights.parse("work"), Rights.parse("work,lead")])
def test_who_may_not_is_told_what_an_owner_can_do(rights: Rights) -> None:
    refused = barred(rights)
    assert refused is not None
    assert (refused.status, refused.code, refused.retry_after) == (403, "may_not_ask", 0.0)
    assert "mesh invite --rights work,ask" in refused.message

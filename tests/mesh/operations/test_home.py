"""The pool that an operation acts on: joined, and for what only owners may do, owned."""

from pathlib import Path

import pytest

from mesh.control.control_errors import NotJoined
from mesh.operations.home import joined_pool, owned_pool
from mesh.wire.errors import MeshError
from mesh.wire.rights import ALL_RIGHTS, Rights
from tests.mesh.operations.homes import FakeHome, admitted
from tests.mesh.protocol.stage import Stage as Scene


def test_a_machine_without_pool_is_told_to_join(tmp_path: Path) -> None:
    home = FakeHome(tmp_path, Scene())
    with pytest.raises(NotJoined):
        joined_pool(home)
    with pytest.raises(NotJoined):
        owned_pool(home, "dance", "sit")


@pytest.mark.parametrize("rights", [Rights.OWN, ALL_RIGHTS])
def test_an_owner_may_act(tmp_path: Path, rights: Rights) -> None:
    home = FakeHome(tmp_path, admitted(rights))
    home.enter()
    assert owned_pool(home, "dance", "sit") is joined_pool(home) is home.pool


def test_a_member_that_is_no_owner_is_told_what_it_may_not_do(tmp_path: Path) -> None:
    home = FakeHome(tmp_path, admitted(Rights.WORK | Rights.LEAD))
    home.enter()
    assert joined_pool(home) is home.pool
    with pytest.raises(MeshError) as refused:
        owned_pool(home, "dance", "sit")
    assert refused.value.message == "this machine may not dance: it is no owner of the pool"
    assert refused.value.hint == "sit"

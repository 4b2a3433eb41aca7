import io
from pathlib import Path

import pytest

from mesh.control import paths
from tests.mesh.cli.conftest import FakeSidecar, Terminal
from tests.mesh.cli.examples import ALPHA, BETA, GAMMA, member, status

EVICTED = {"id": BETA, "name": "beta", "fallen": []}


async def test_a_member_is_evicted_by_its_name_or_the_beginning_of_its_id(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers |= {"status": status(), "evict": EVICTED}
    for what in ("beta", BETA, BETA[:4]):
        outcome = await mesh("evict", what, "--yes")
        assert outcome.out == "evicted beta\n"
        assert sidecar.asked[-1] == ("evict", {"member": BETA})


async def test_a_member_that_was_never_heard_of_is_evicted_by_its_whole_id(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    unseen = "z" * 26
    sidecar.answers |= {"status": status(), "evict": {"id": unseen, "name": "", "fallen": [GAMMA]}}
    outcome = await mesh("evict", unseen, "--yes")
    assert outcome.out == f"evicted {unseen}, and with it 1 member that it had vouched for\n"


async def test_of_two_with_one_name_the_id_has_to_say_which(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["status"] = status(members=[member(ALPHA, "twin"), member(BETA, "twin")])
    outcome = await mesh("evict", "twin", "--yes")
    assert outcome.code == 1
    assert "2 members are called 'twin'" in outcome.err
    assert ALPHA in outcome.err
    assert BETA in outcome.err
    assert "evict" not in [op for op, _ in sidecar.asked]


@pytest.mark.parametrize("what", ["nobody", "", BETA[:3], "z" * 25])
async def test_who_is_no_member_cannot_be_evicted(mesh: Terminal, sidecar: FakeSidecar, what: str) -> None:
    sidecar.answers["status"] = status()
    assert "there is no member" in (await mesh("evict", "--yes", what)).err


async def test_where_nobody_can_be_asked_it_takes_a_yes(
    mesh: Terminal, sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar.answers["status"] = status()
    monkeypatch.setattr("sys.stdin", io.StringIO())
    outcome = await mesh("evict", "beta")
    assert outcome.code == 2
    assert "--yes" in outcome.err
    assert "evict" not in [op for op, _ in sidecar.asked]


async def test_a_script_gets_an_object(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers |= {"status": status(), "evict": EVICTED}
    assert (await mesh("evict", "beta", "--yes", "--json")).json() == EVICTED


def test_after_its_own_eviction_a_machine_says_so_until_it_is_in_a_pool_again(mesh: Terminal) -> None:
    note = Path(paths.eviction_path(str(mesh.state_dir)))
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text("this machine was evicted from pool attic by alpha")
    outcome = mesh.run("status")
    assert outcome.code == 3
    assert "evicted from pool attic by alpha" in outcome.err
    assert "mesh leave --purge" in outcome.err
    assert mesh.run("status", "--json").json()["error"]["code"] == "not_joined"

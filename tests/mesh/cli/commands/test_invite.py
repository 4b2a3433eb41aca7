import pytest

from tests.mesh.cli.conftest import FakeSidecar, Terminal

INVITED = {"token": "mesh1:abc", "rights": ["work", "lead"], "expires": 604800.0, "uses": 20}


async def test_an_invite_is_one_line_to_copy(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["invite"] = INVITED
    outcome = await mesh("invite", "--rights", "lead,work", "--expires", "7d", "--uses", "20")
    assert sidecar.asked == [("invite", {"rights": ["work", "lead"], "expires": 604800.0, "uses": 20})]
    assert outcome.out == "mesh join mesh1:abc\n"
    assert outcome.err == "for 20 machines, with the rights work, lead, good for 7 d\n"


async def test_an_invite_is_modest_unless_told_otherwise(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["invite"] = INVITED
    assert (await mesh("invite", "--json")).json()["token"] == "mesh1:abc"
    assert sidecar.asked == [("invite", {"rights": ["work", "ask"], "expires": 86400.0, "uses": 1})]


@pytest.mark.parametrize("option", [["--rights", "all"], ["--expires", "never"], ["--uses", "-1"]])
def test_an_invite_for_nonsense_is_a_usage_error(mesh: Terminal, option: list[str]) -> None:
    assert mesh.run("invite", *option).code == 2

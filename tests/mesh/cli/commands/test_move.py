from tests.mesh.cli.conftest import FakeSidecar, Terminal


async def test_a_wish_for_a_move_is_passed_on_and_its_outcome_told(
    mesh: Terminal, sidecar: FakeSidecar
) -> None:
    sidecar.answers["move"] = {"text": "moves to a placement 1.50 times as fast"}
    assert (await mesh("move")).out == "moves to a placement 1.50 times as fast\n"
    assert sidecar.asked[-1] == ("move", {"now": False})
    await mesh("move", "--now")
    assert sidecar.asked[-1] == ("move", {"now": True})


async def test_a_script_gets_an_object(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["move"] = {"text": "toy is placed as well as it can be"}
    assert (await mesh("move", "--json")).json() == {"text": "toy is placed as well as it can be"}

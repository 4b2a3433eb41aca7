import pytest

from tests.mesh.cli.conftest import FakeSidecar, Terminal

APPROVED = {"id": "b" * 26, "name": "be\x1bta", "rights": ["work"]}


async def test_a_code_may_be_typed_with_dashes_or_blanks(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["approve"] = APPROVED
    outcome = await mesh("approve", "42-swift-otter-elm")
    assert outcome.out == "be?ta is in the pool, with the rights work\n"
    await mesh("approve", "--rights", "own,work", "42", "swift", "otter", "elm")
    assert sidecar.asked == [
        ("approve", {"code": "42-swift-otter-elm", "rights": ["work", "ask"]}),
        ("approve", {"code": "42 swift otter elm", "rights": ["work", "own"]}),
    ]


async def test_a_script_gets_an_object(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["approve"] = APPROVED
    assert (await mesh("approve", "--json", "1-swift-otter-elm")).json() == APPROVED


@pytest.mark.parametrize("words", [[], ["--rights", "all", "1-swift-otter-elm"]])
def test_an_approval_of_nothing_is_a_usage_error(mesh: Terminal, words: list[str]) -> None:
    assert mesh.run("approve", *words).code == 2

from typing import Any

import pytest

from mesh.runtime.version_problems import version_problems
from tests.mesh.cli import examples

OWN = examples.ALPHA


def among(mine: list[int] | None, theirs: list[int] | None, **changes: Any) -> list[Any]:
    """The problems of a machine that speaks ``mine`` with shed, which speaks ``theirs``."""
    members = [
        examples.member(OWN, "here", versions=mine),
        examples.member(examples.BETA, "shed", versions=theirs, **changes),
    ]
    return list(version_problems(members, OWN))  # type: ignore[arg-type]


@pytest.mark.parametrize("theirs", [[2, 3], None], ids=str)
def test_a_pool_of_one_version_has_no_problem(theirs: list[int] | None) -> None:
    assert among([2, 3], theirs) == []


def test_a_member_that_is_too_new_is_named_and_this_machine_to_be_upgraded() -> None:
    assert among([2, 3], [4, 5], state="dead") == [
        {
            "code": "wire_version",
            "member": examples.BETA,
            "message": "shed speaks wire version 4 and 5, this machine 2 and 3",
            "hint": "upgrade this machine, then: mesh restart",
        }
    ]


def test_the_other_side_says_the_same_and_where_to_upgrade() -> None:
    [problem] = among([4, 5], [2, 2], state="dead")
    assert problem["message"] == "shed speaks wire version 2, this machine 4 and 5"
    assert problem["hint"] == "upgrade shed, then there: mesh restart"


def test_a_member_of_the_version_before_is_a_note() -> None:
    assert among([2, 3], [2, 2]) == [
        {
            "code": "older_member",
            "member": examples.BETA,
            "message": "shed still speaks wire version 2: facts are signed in its form until it is upgraded",
            "hint": "upgrade shed, then there: mesh restart",
        }
    ]


def test_a_machine_that_is_behind_the_others_says_so_once() -> None:
    members = [
        examples.member(OWN, "here", versions=[2, 3]),
        examples.member(examples.BETA, "shed", versions=[3, 4]),
        examples.member(examples.GAMMA, "attic", versions=[3, 4]),
    ]
    [problem] = version_problems(members, OWN)  # type: ignore[arg-type]
    assert (problem["code"], problem["member"]) == ("older_program", None)
    assert problem["message"].startswith("this machine still speaks wire version 3, others 4: ")
    assert problem["hint"] == "upgrade this machine, then: mesh restart"


@pytest.mark.parametrize("state", ["dead", "left"])
def test_the_form_does_not_wait_for_members_that_are_not_there(state: str) -> None:
    assert among([2, 3], [2, 2], state=state) == []


def test_who_left_is_no_problem_whatever_it_spoke() -> None:
    assert among([2, 3], [4, 5], state="left") == []


def test_those_that_cannot_be_spoken_with_come_first() -> None:
    members = [
        examples.member(OWN, "here", versions=[2, 3]),
        examples.member(examples.BETA, "shed", versions=[2, 2]),
        examples.member(examples.GAMMA, "attic", versions=[4, 5], state="dead"),
    ]
    problems = version_problems(members, OWN)  # type: ignore[arg-type]
    assert [problem["code"] for problem in problems] == ["wire_version", "older_member"]


def test_a_machine_without_a_record_of_its_own_judges_nobody() -> None:
    assert among(None, [4, 5]) == []

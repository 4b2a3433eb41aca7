import os

import pytest

from simulations.measures.branches import each_in_branch, in_branch


def test_a_branch_changes_nothing_here() -> None:
    numbers = [1]

    def change() -> tuple[list[int], int]:
        numbers.append(2)
        return numbers, os.getpid()

    theirs, process = in_branch(change)
    assert theirs == [1, 2]
    assert numbers == [1]
    assert process != os.getpid()


def test_answers_come_in_the_order_of_the_arguments() -> None:
    assert list(each_in_branch(lambda number: number * number, range(7), jobs=3)) == [0, 1, 4, 9, 16, 25, 36]


def test_a_large_answer_comes_whole() -> None:
    assert in_branch(lambda: bytes(3_000_000)) == bytes(3_000_000)


def test_a_branch_that_fails_says_why() -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(RuntimeError, match="nothing there"):
        in_branch(fail)


def test_a_branch_that_dies_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="without a word"):
        in_branch(lambda: os._exit(3))


def test_branches_that_nobody_waits_for_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []
    fork = os.fork

    def noted() -> int:
        child = fork()
        children.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)
    answers = each_in_branch(lambda number: number, range(50), jobs=2)
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]
    assert 2 <= len(children) < 50
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)

"""The command that measures coverage judges as it says."""

import ast

import pytest

from tests import coverage
from tests.coverage import Function, Measured, Missed
from tests.house.tree import ROOT

LINE = Missed("a.py", "A.f", 3, "return None")


def test_what_is_measured_exists_and_has_its_tests() -> None:
    named = [*coverage.PURE, *(test for tests in coverage.PURE.values() for test in tests)]
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_what_is_listed_names_files_that_exist() -> None:
    known = coverage.listed(coverage.LISTED.read_text(encoding="utf-8"))
    assert [function for function in known if not (ROOT / function.file).exists()] == []


def test_a_list_has_a_file_a_function_lines_and_a_reason() -> None:
    text = "# a remark\n\na.py | A.f | 1 | never happens\n"
    assert coverage.listed(text) == {Function("a.py", "A.f"): 1}
    with pytest.raises(ValueError, match="not enough values"):
        coverage.listed("a.py | A.f | 1\n")


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({Function("a.py", "A.f"): 1}, []),
        ({}, ["run by no test: a.py:3 A.f: return None"]),
        ({Function("a.py", "A.f"): 2}, ["run by no test: a.py:3 A.f: return None"]),
        (
            {Function("a.py", "A.f"): 1, Function("a.py", "g"): 1},
            ["uncovered.txt lists what is run by now, or gone: a.py | g"],
        ),
    ],
)
def test_a_list_that_is_not_what_was_measured_is_complained_of(
    known: dict[Function, int], said: list[str]
) -> None:
    assert list(coverage.complaints([Measured("a.py", 100, [LINE])], known)) == said


def test_a_part_below_its_share_is_complained_of() -> None:
    [said] = coverage.complaints([Measured("a.py", 10, [LINE])], {Function("a.py", "A.f"): 1})
    assert said == "a.py: 90.0% of its lines are run, 95% are wanted"


def test_a_line_belongs_to_the_innermost_function() -> None:
    tree = ast.parse("class A:\n    def f(self):\n        if self:\n            return 1\n\n\nx = 2\n")
    assert [coverage.function_at(tree, line) for line in (1, 4, 7)] == ["A", "A.f", ""]

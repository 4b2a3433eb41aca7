import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.grammars.grammar_rules import Effort
from leader.door.grammars.patterns import check_pattern
from leader.door.orders import Unacceptable
from tests.fuzz.requests import pattern


def check(source: str) -> None:
    check_pattern(source, "schema", Effort())


@pytest.mark.parametrize(
    "source",
    [
        "^[a-z0-9]+(-[a-z0-9]+)*$",
        r"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}$",
        r"^\d{4}-\d{2}$",
        r"^(?:[0-9a-fA-F]{8})-([0-9a-f]{4}-){3}[0-9a-f]{12}$",
        "^.{0,1000}$",
        r"^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
        "^(https?|ftp)://[^ ]+$",
        "^[a-z]([a-z0-9-]*[a-z0-9])?$",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$",
        "^(?!x).*$",
        "not anchored",
        "^$",
        "^(unclosed$",
    ],
)
def test_patterns_that_people_use_pass(source: str) -> None:
    check(source)


@pytest.mark.parametrize(
    "source",
    [
        "^(((((a{0,99}){0,99}){0,99}){0,99}){0,99})$",
        '^([^x]{0,2001}){0,99}"$',
        "^(a*)*$",
        "^(a|aa)+$",
        "^(a+)+$",
        "^a{5,2}$",
        "^a{3000}$",
        "^a{-1}$",
        "^" + "(" * 20_000 + "$",
        "^" + "(" * 100 + "a" + ")" * 100 + "$",
        "^" + "a?" * 300 + "$",
    ],
)
def test_patterns_that_keep_the_engine_busy_are_refused(source: str) -> None:
    with pytest.raises(Unacceptable):
        check(source)


@given(st.text(st.sampled_from("ab()[]{}|*+?.\\-^,019$?:"), max_size=40))
def test_any_text_is_read_or_refused_as_a_pattern(source: str) -> None:
    with contextlib.suppress(Unacceptable):
        check(f"^{source}$")


def test_patterns_share_what_looking_at_them_may_cost() -> None:
    effort = Effort()
    check_pattern("^[a-z]{1,9}x(a|b)?c$", "schema", effort)
    spent = Effort().left - effort.left
    assert 0 < spent < 1000
    effort.left = spent - 1
    check_pattern("^[a-z]{1,9}x(a|b)?c$", "schema", effort)
    assert effort.left == spent - 1
    with pytest.raises(Unacceptable, match="intricate"):
        check_pattern("^[a-z]{1,9}x(a|b)?d$", "schema", effort)


def test_patterns_of_the_fuzzer_are_read_or_refused() -> None:
    random = Random(4)
    for _ in range(300):
        with contextlib.suppress(Unacceptable):
            check(pattern(random))

import pytest

from leader.door.grammars.grammar_rules import Effort, Symbol
from leader.door.orders import Unacceptable


def test_a_symbol_repeated_is_the_same_symbol() -> None:
    symbol = Symbol(rule=3)
    assert symbol.times(0, None).times(1, 1) == symbol


def test_effort_is_spent_once() -> None:
    effort = Effort(10)
    effort.spend(10, "grammar")
    with pytest.raises(Unacceptable) as refused:
        effort.spend(1, "grammar")
    assert refused.value.field == "grammar"

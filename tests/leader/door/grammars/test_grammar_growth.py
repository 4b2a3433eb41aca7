import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.grammars.grammar_growth import MOST_RULES, MOST_WIDTH, Growth, components
from leader.door.grammars.grammar_rules import Rules, Symbol
from leader.door.orders import Unacceptable

A, B = Symbol(chars=((97, 97),)), Symbol(chars=((98, 98),))


def growth(rules: Rules) -> Growth:
    grown = Growth(rules, "grammar")
    grown.check()
    return grown


def test_a_chain_of_choices_that_begin_alike_doubles_with_each_link() -> None:
    """Told apart at once, the same chain stays as narrow as one link."""
    alike: Rules = [((A, Symbol(rule=at + 1), A), (A, Symbol(rule=at + 1), B)) for at in range(4)]
    apart: Rules = [((A, Symbol(rule=at + 1), A), (B, Symbol(rule=at + 1), B)) for at in range(4)]
    last = ((A,),)
    assert growth([*alike, last]).shapes[0].width == 16
    assert growth([*apart, last]).shapes[0].width == 1


def test_two_ways_back_to_a_rule_are_refused_only_where_they_begin_alike() -> None:
    growth([((A, Symbol(rule=0), A), (B, Symbol(rule=0), B), (Symbol(chars=((99, 99),)),))])
    with pytest.raises(Unacceptable, match="themselves"):
        growth([((A, Symbol(rule=0), A), (A, Symbol(rule=0), B), (B,))])


def test_repetitions_count_for_each_turn() -> None:
    rules: Rules = [((A.times(0, 100), B.times(7, 7)),)]
    assert growth(rules).shapes[0].size > 107


def test_many_rules_and_wide_ones_are_refused() -> None:
    with pytest.raises(Unacceptable):
        growth([((A,),)] * (MOST_RULES + 1))
    with pytest.raises(Unacceptable):
        growth([tuple((A, B) for _ in range(MOST_WIDTH + 1))])


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=8, max_size=8))
def test_components_are_what_leads_to_each_other_in_the_order_of_need(edges: list[list[int]]) -> None:
    def reach(start: int) -> set[int]:
        seen, waiting = set(), [start]
        while waiting:
            for other in edges[waiting.pop()]:
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    found = components(edges)
    assert sorted(node for part in found for node in part) == list(range(8))
    for part in found:
        assert all(other == node or other in reach(node) for node in part for other in part)
    place = {node: at for at, part in enumerate(found) for node in part}
    assert all(place[other] <= place[node] for node in range(8) for other in edges[node])

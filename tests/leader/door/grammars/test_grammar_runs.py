import pytest

from leader.door.grammars.grammar_rules import Effort, Rules, Symbol
from leader.door.grammars.grammar_runs import Runs
from leader.door.orders import Unacceptable

A = ((97, 97),)
LETTER = Symbol(chars=A)
MANY = LETTER.times(0, None)


def read(rules: Rules, symbol: Symbol) -> None:
    Runs(rules, "grammar", Effort()).check(symbol, [97])


@pytest.mark.parametrize(
    ("rules", "symbol"),
    [
        # (a+)+
        ([((LETTER.times(1, None),),)], Symbol(rule=0).times(1, None)),
        # (a | aa)*
        ([((LETTER,), (LETTER, LETTER))], Symbol(rule=0).times(0, None)),
        # (a | a)*
        ([((LETTER,), (LETTER,))], Symbol(rule=0).times(0, None)),
        # a* a* a* a* a* a*
        ([((MANY,) * 6,)], Symbol(rule=0)),
        # (a*){0,99}
        ([((MANY,),)], Symbol(rule=0).times(0, 99)),
        # (ab | ab | ab | ab | ab)*
        ([tuple((LETTER, Symbol(chars=((98, 98),))) for _ in range(5))], Symbol(rule=0).times(0, None)),
        # a? thirty times
        ([((LETTER.times(0, 1),) * 30,)], Symbol(rule=0)),
    ],
)
def test_what_reads_a_run_in_ever_more_ways_is_refused(rules: Rules, symbol: Symbol) -> None:
    with pytest.raises(Unacceptable):
        read(rules, symbol)


@pytest.mark.parametrize(
    ("rules", "symbol"),
    [
        ([((LETTER,),)], Symbol(rule=0).times(0, None)),
        ([((LETTER,),)], Symbol(rule=0).times(2000, 2000)),
        ([((MANY, MANY),)], Symbol(rule=0)),
        ([((LETTER.times(0, 3),),)], Symbol(rule=0)),
        # (ab | a | b)*
        (
            [((LETTER, Symbol(chars=((98, 98),))), (LETTER,), (Symbol(chars=((98, 98),)),))],
            Symbol(rule=0).times(0, None),
        ),
        # x ::= a x b | a: as many readings as letters.
        ([((LETTER, Symbol(rule=0), Symbol(chars=((98, 98),))), (LETTER,))], Symbol(rule=0)),
    ],
)
def test_what_reads_a_run_in_few_ways_passes(rules: Rules, symbol: Symbol) -> None:
    read(rules, symbol)

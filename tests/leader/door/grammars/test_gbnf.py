import contextlib
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.door.grammars.gbnf import MOST_CHARACTERS, check_grammar
from leader.door.orders import Unacceptable
from tests.fuzz.requests import grammar

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws  # escapes
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
ARITHMETIC = r"""root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""
CHESS = r"""root    ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move    ::= (pawn | nonpawn | castle) [+#]?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn    ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle  ::= "O-O" "-O"?
"""
LIST = r"""root ::= item+
# Excludes various line break characters
item ::= "- " [^\r\n\x0b\x0c\x85\u2028\u2029]+ "\n"
"""


@pytest.mark.parametrize(
    "source",
    [
        JSON,
        ARITHMETIC,
        CHESS,
        LIST,
        'root ::= "yes" | "no"',
        r"root ::= [^\n]{1,500}",
        "root ::= " + " | ".join(f'"word{number}"' for number in range(500)),
        r'root ::= "{" ws "}" ws' + "\n" + r"ws ::= [ \t\n]*",
        "root ::= <think> !</think>* </think> .*",
    ],
)
def test_grammars_that_people_use_pass(source: str) -> None:
    check_grammar(source, "grammar")


def chain(rule: str, count: int = 28) -> str:
    rules = [f"r{at} ::= " + rule.replace("next", f"r{at + 1}") for at in range(count)]
    return "\n".join(["root ::= r0", *rules, f'r{count} ::= "x"'])


@pytest.mark.parametrize(
    "source",
    [
        'root ::= "a" root "b" | "a" root "c"',
        chain("next | next"),
        chain('"a" next "b" | "a" next "c"'),
        "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
        'root ::= ("a"*)*',
        "root ::= " + "(" * 5 + '"a"' + "{0,99})" * 5 + "{0,99}",
        # The engine counts from the first bound to the second, and never gets there.
        'root ::= "a"{5,2}',
        'root ::= root "a" | "b"',
        'root ::= x\nx ::= y? root "a"\ny ::= "b"',
        'root ::= "a"{9999999999}',
        'root ::= "a"{2001}',
        'root ::= ([^x]{0,2001}){0,99} "x"',
        'root ::= ([a-z]+ " "?)+',
        "root ::= ws ws ws ws ws ws\nws ::= [ ]*",
        'root ::= (" " | "  ")*',
        "root ::= " + '"a" | ' * MOST_CHARACTERS + '"b"',
        "root ::= missing",
        'other ::= "a"',
        "root ::= (",
        "root ::= [z-a]",
        "root ::= +",
        'root "a"',
        "",
    ],
)
def test_grammars_that_keep_the_engine_busy_or_are_none_are_refused(source: str) -> None:
    with pytest.raises(Unacceptable) as refused:
        check_grammar(source, "grammar")
    assert refused.value.field == "grammar"


@given(st.text(st.sampled_from('ab ()[]{}|*+?."\\:=\n-^,09<>!#root'), max_size=60))
def test_any_text_is_read_or_refused(source: str) -> None:
    with contextlib.suppress(Unacceptable):
        check_grammar("root ::= " + source, "grammar")


def test_grammars_of_the_fuzzer_are_read_or_refused() -> None:
    random = Random(3)
    passed = 0
    for _ in range(300):
        try:
            check_grammar(grammar(random), "grammar")
            passed += 1
        except Unacceptable:
            pass
    assert 30 < passed < 270

"""Whose fault a broken tunnel is."""

from dataclasses import replace
from typing import Any

import pytest

from leader.blame.breaks import DOUBTED, JUDGED_AFTER, MAX_BREAKS, TOGETHER, Break, Breaks, Standing

ANNA, BERT = b"a" * 16, b"b" * 16
AT = 100.0
NEVER = float("-inf")
OPEN = Break(ANNA, ((ANNA, "CPU"),), AT, "the worker closed the tunnel")
WELL = Standing(True, AT + 0.1, NEVER)


def guilty(
    tunnel: Break = OPEN, standing: Standing | None = WELL, unsettled_at: float = NEVER, *others: Break
) -> bool:
    breaks = Breaks()
    for one in (tunnel, *others):
        breaks.broke(one)
    standings = {} if standing is None else {tunnel.member: standing}
    judged = breaks.judge(AT + JUDGED_AFTER, standings, unsettled_at)
    return next(one.guilty for one in judged if one.tunnel.member == tunnel.member)


def test_who_ended_its_tunnel_and_is_as_well_as_before_is_to_blame() -> None:
    assert guilty()
    assert guilty(standing=replace(WELL, doubted_at=AT - DOUBTED - 0.1))


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("it is unknown by now", {"standing": None}),
        ("it is held dead, has left, or computes for another", {"standing": replace(WELL, alive=False)}),
        ("it was in doubt some time before", {"standing": replace(WELL, doubted_at=AT - DOUBTED)}),
        ("it came into doubt after", {"standing": replace(WELL, doubted_at=AT + 2)}),
        ("it has answered nothing since", {"standing": replace(WELL, answered_at=AT)}),
        ("this process had stood still before", {"unsettled_at": AT - 1}),
        ("this process stood still after, or this leader reclaimed", {"unsettled_at": AT + 2}),
        ("what ended it was on the way", {"tunnel": replace(OPEN, cut=True)}),
    ],
)
def test_nobody_is_blamed_who_may_have_been_cut_off(case: str, changes: dict[str, Any]) -> None:
    assert not guilty(**changes), case


@pytest.mark.parametrize(("apart", "blamed"), [(0.0, False), (TOGETHER, False), (TOGETHER + 0.1, True)])
def test_several_tunnels_that_break_at_once_blame_nobody(apart: float, blamed: bool) -> None:
    other = replace(OPEN, member=BERT, at=AT - apart)
    assert guilty(OPEN, WELL, NEVER, other) == blamed


def test_a_second_break_to_the_same_worker_is_the_same() -> None:
    assert guilty(OPEN, WELL, NEVER, replace(OPEN, at=AT + 0.1, reason="again"))


def test_it_is_judged_some_seconds_later_and_no_plan_counts_on_it_until_then() -> None:
    breaks = Breaks()
    breaks.broke(OPEN)
    assert breaks.judge(AT + JUDGED_AFTER - 0.1, {ANNA: WELL}, NEVER) == []
    assert breaks.waiting == {ANNA}
    [judged] = breaks.judge(AT + JUDGED_AFTER, {ANNA: WELL}, NEVER)
    assert judged.tunnel == OPEN
    assert breaks.waiting == frozenset()


def test_a_worker_that_says_that_its_engine_ended_is_judged_at_once_in_its_words() -> None:
    breaks = Breaks()
    breaks.broke(OPEN)
    breaks.admitted(BERT, "another's word")
    breaks.admitted(ANNA, "ended with SIGABRT")
    [judged] = breaks.judge(AT, {}, NEVER)
    assert (judged.guilty, judged.tunnel.reason) == (True, "ended with SIGABRT")


def test_what_another_leader_is_to_judge_is_dropped() -> None:
    breaks = Breaks()
    breaks.broke(OPEN)
    breaks.drop()
    assert breaks.waiting == frozenset()
    assert breaks.judge(AT + JUDGED_AFTER, {ANNA: WELL}, NEVER) == []


def test_what_waits_for_its_judgement_is_bounded() -> None:
    breaks = Breaks()
    for number in range(MAX_BREAKS + 1):
        breaks.broke(replace(OPEN, member=bytes([number]) * 16))
    assert len(breaks.waiting) == MAX_BREAKS

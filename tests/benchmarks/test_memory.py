"""The benchmark of memory judges what it measured: too little on any device, or too much, misses a goal."""

from tests.benchmarks.memory import _report
from tests.oracle.engine_memory import KINDS, Share

MIB = 1 << 20


def share(predicted: int, taken: int) -> Share:
    """All of one kind, in MiB."""
    nothing = dict.fromkeys(KINDS, 0)
    return Share("RPC0", {**nothing, "context": predicted * MIB}, {**nothing, "context": taken * MIB})


def met(*shares: Share) -> list[bool]:
    return [goal.met for goal in _report({"a model": list(shares)}).goals]


def test_what_is_within_a_tenth_meets_all_goals() -> None:
    assert met(share(200, 200), share(219, 200)) == [True] * 4


def test_too_little_and_too_much_miss_theirs() -> None:
    assert met(share(199, 200)) == [False, True, False, True]
    assert met(share(221, 200)) == [True, False, True, False]


def test_a_small_device_may_be_off_by_some_mib() -> None:
    assert met(share(200, 200), share(17, 1)) == [True] * 4
    assert met(share(200, 200), share(18, 1)) == [True, False, True, True]

"""Every decoder over real encodings, and over these with bytes lost, changed, doubled or swapped."""

import functools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import Decode, Harness
from tests.fuzz.harnesses import HARNESSES

SLOW = frozenset({"node", "approval", "spake", "application", "http"})
EXAMPLES, EXAMPLES_OF_THE_SLOW = 150, 30


@functools.cache
def prepared(harness: Harness) -> tuple[Decode, tuple[bytes, ...]]:
    return harness.make(), tuple(harness.corpus())


def mutated(data: bytes, other: bytes, seed: int) -> bytes:
    """``data`` after a few changes of the kinds that a fuzzer makes."""
    dice = random.Random(seed)
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at, end = sorted(dice.randint(0, len(changed)) for _ in range(2))
        kind = dice.randrange(5)
        if kind == 0:
            del changed[at : min(end, at + 8)]
        elif kind == 1 and at < len(changed):
            changed[at] = dice.choice((0, 1, 0x7F, 0x80, 0xC0, 0xDC, 0xFF, dice.randrange(256)))
        elif kind == 2:
            changed[at:at] = changed[at:end]
        elif kind == 3 and other:
            start = dice.randrange(len(other))
            changed[at:end] = other[start : start + end - at]
        else:
            changed[at:at] = dice.randbytes(dice.randint(1, 8))
    return bytes(changed)


@pytest.mark.parametrize("name", HARNESSES)
def test_a_decoder_takes_real_encodings_nothing_and_a_lot_of_zeros(name: str) -> None:
    harness = HARNESSES[name]
    decode, corpus = prepared(harness)
    assert corpus
    for data in (*corpus, b"", bytes(harness.max_len)):
        decode(data)


@pytest.mark.parametrize("name", HARNESSES)
def test_a_decoder_refuses_what_it_cannot_read_with_its_one_error(name: str) -> None:
    harness = HARNESSES[name]
    decode, corpus = prepared(harness)

    @settings(
        max_examples=EXAMPLES_OF_THE_SLOW if name in SLOW else EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(corpus), st.sampled_from(corpus), st.integers(0, 2**32))
    def holds(data: bytes, other: bytes, seed: int) -> None:
        decode(mutated(data, other, seed)[: harness.max_len])

    holds()

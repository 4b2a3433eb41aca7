"""A pool's name is two words that follow from its id."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.admission import pool_names
from mesh.admission.pool_names import pool_name
from mesh.wire.identity import PoolId

IDS = st.binary(min_size=16, max_size=16).map(PoolId)


@given(IDS)
def test_a_pool_is_called_by_two_words(pool: PoolId) -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+", pool_name(pool))


@pytest.mark.parametrize(
    ("pool", "name"), [(bytes(16), "amber-acorn"), (bytes([63, 64, 1]) + bytes(13), "warm-acorn")]
)
def test_the_name_is_the_same_in_every_version(pool: bytes, name: str) -> None:
    assert pool_name(PoolId(pool)) == name


def test_every_word_is_there_once_and_used_equally_often() -> None:
    for words in (pool_names.HOW, pool_names.WHAT):
        assert len(set(words)) == len(words)
        assert 256 % len(words) == 0

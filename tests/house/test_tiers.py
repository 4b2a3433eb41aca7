"""The tiers: what they name exists, and no test is in two."""

import pytest

from tests import tiers
from tests.house.tree import ROOT


def test_what_is_outside_the_fast_tier_exists() -> None:
    assert [file for file in (*tiers.LONG, *tiers.ALONE) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize(
    ("file", "fixture", "marker"),
    [
        ("tests/e2e/test_moves.py", "tmp_path", "alone"),
        ("tests/mesh/wire/test_codec.py", "engine", "alone"),
        ("tests/mesh/wire/test_codec.py", "lab", "alone"),
        ("tests/simulations/test_chaos.py", "tmp_path", ""),
        ("tests/mesh/wire/test_codec.py", "tmp_path", "unit"),
    ],
)
def test_a_test_has_the_tier_of_its_file_and_its_fixtures(file: str, fixture: str, marker: str) -> None:
    assert tiers.tier(file, [fixture]) == marker

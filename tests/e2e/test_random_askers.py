"""Random requests at the leader's end: a share of those of ``python -m tests.benchmarks hostile``."""

from pathlib import Path

import pytest
import trio

from tests.benchmarks.hostile import REQUESTS
from tests.e2e.pools import make_model
from tests.e2e.test_hostile import attack
from tests.e2e.test_hostile_askers import OTHERS_SECONDS, Pool
from tests.lab.lab import Lab

pytestmark = pytest.mark.usefixtures("engine")

SHARE = 200
FIRST = 1500
"""The number of the first one; among them is a field without a name, which once was a broken header."""


async def test_random_requests_harm_nobody(lab: Lab, tmp_path: Path) -> None:
    pool = Pool(lab, make_model(tmp_path))
    await pool.form()
    token = pool.invite()
    told = await attack(pool.eve, "fuzz_door", pool.anna, token=token, first=FIRST, count=SHARE, within=300)
    print(f"{SHARE} of {REQUESTS:,} random requests: {dict(sorted(told['statuses'].items()))}")
    assert not told["faults"]
    with trio.fail_after(OTHERS_SECONDS):
        await pool.is_unharmed()

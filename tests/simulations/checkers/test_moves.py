from dataclasses import replace

import pytest

from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from leader.reconcile.view import Running, View
from mesh.wire.states import Phase
from simulations.leading import Serving
from tests.leader.reconcile.test_decide import ME, SHAPE, USED, WANTED
from tests.leader.shapes import MIB, host, worker
from tests.simulations.checkers.watched import Watched

PLAN = place(SHAPE, [host(60 * MIB), worker(1)], EngineSettings(512, 1))
SEEN = View(ME, True, WANTED, SHAPE, (), USED, Running(WANTED, PLAN, Phase.READY))


def stop(pool: Watched, view: View) -> None:
    pool.serving.stopped(pool.hosts[0], view)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host gives an answer."""
    monkeypatch.setattr(Serving, "answering", lambda serving, host: True)


@pytest.mark.usefixtures("busy")
def test_a_move_that_cuts_an_answer_is_caught() -> None:
    pool = Watched()
    stop(pool, SEEN)
    assert "moves: host0 cut an answer for a move that no person asked for" in pool.said


def test_a_model_that_is_moved_to_and_fro_is_caught() -> None:
    pool = Watched()
    stop(pool, SEEN)
    pool.world.run(5)
    stop(pool, SEEN)
    assert "moves: host0 moved again after 5.0 s" in pool.said


@pytest.mark.parametrize(
    "changes",
    [
        {"asked": "now"},
        {"leading": False},
        {"leases": frozenset({ME})},
        {"wanted": replace(WANTED, settings=EngineSettings(1024))},
        {"running": Running(WANTED, PLAN, Phase.FAILED)},
    ],
)
@pytest.mark.usefixtures("busy")
def test_what_must_end_may_end(changes: dict[str, object]) -> None:
    pool = Watched()
    for _ in range(2):
        stop(pool, replace(SEEN, **changes))  # type: ignore[arg-type]
    assert pool.said == ""

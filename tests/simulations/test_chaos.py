import pytest

from mesh.protocol.arbiter import Arbiter
from mesh.protocol.core import Core
from mesh.protocol.election import Election
from simulations.chaos import Chaos


@pytest.mark.parametrize("seed", range(1, 41))
def test_no_property_is_violated_under_random_faults(seed: int) -> None:
    outcome = Chaos(seed, None).run()
    assert outcome.violations == []
    assert outcome.healed_after is not None


def test_a_replay_is_the_same_run() -> None:
    lines: list[str] = []
    again: list[str] = []
    Chaos(3, 4, trace=lines.append).run()
    Chaos(3, 4, trace=again.append).run()
    assert lines == again
    assert any("**" in line for line in lines)


def _violations(seeds: range) -> list[str]:
    return [violation for seed in seeds for violation in Chaos(seed, 4).run().violations]


def test_a_worker_that_ignores_who_holds_it_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arbiter, "_bound", lambda self, grant: False)
    assert any("held it" in violation for violation in _violations(range(1, 41)))


def test_a_worker_that_does_not_note_its_grants_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    persist = Core.persist
    monkeypatch.setattr(
        Core, "persist", lambda self, key, value: None if key == "grant" else persist(self, key, value)
    )
    assert any("before it noted" in violation for violation in _violations(range(1, 3)))


def test_terms_that_do_not_survive_a_restart_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    persist = Core.persist
    forgotten = ("term", "claimed")
    monkeypatch.setattr(
        Core, "persist", lambda self, key, value: None if key in forgotten else persist(self, key, value)
    )
    assert _violations(range(1, 21))


def test_leaders_that_never_yield_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Election, "_contested", lambda self, higher: self._core.notice("info", "no"))
    monkeypatch.setattr(
        Election,
        "leader",
        lambda self, leader=Election.leader: self.mine if self.mine is not None else leader(self),
    )
    assert any("leader" in violation for violation in _violations(range(1, 11)))

import pytest

from simulations import mutants
from simulations.chaos import Chaos, plan


@pytest.mark.parametrize("name", list(mutants.MUTANTS))
def test_a_mutant_is_in_force_within_its_block_only(name: str) -> None:
    patches = mutants.MUTANTS[name]()
    before = [getattr(owner, attribute) for owner, attribute, _ in patches]
    with mutants.applied(name):
        inside = [getattr(owner, attribute) for owner, attribute, _ in patches]
    after = [getattr(owner, attribute) for owner, attribute, _ in patches]
    assert all(mutant is not original for mutant, original in zip(inside, before, strict=True))
    assert after == before


@pytest.mark.parametrize(
    ("name", "checkers"),
    [
        ("grants are not stored", {"leases"}),
        ("higher claims are ignored", {"settled"}),
        ("signatures are not checked", {"facts", "terms", "settled"}),
    ],
)
def test_a_mutant_is_caught_by_the_checker_made_for_it(name: str, checkers: set[str]) -> None:
    said: set[str] = set()
    with mutants.applied(name):
        for seed in range(1, 60):
            said |= {
                violation.split()[1].rstrip(":") for violation in Chaos(plan(seed, 5, 2.5)).run().violations
            }
            if said & checkers:
                break
    assert said & checkers

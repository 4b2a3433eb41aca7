import pytest

from simulations import mutants
from simulations.chaos import Chaos, plan
from simulations.shrink import checker_of


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
    ("name", "families", "checkers"),
    [
        ("grants are not stored", set(), {"leases"}),
        ("higher claims are ignored", {"partitions"}, {"settled"}),
        ("signatures are not checked", {"lies"}, {"facts", "terms", "settled"}),
        ("each worker that lost a tunnel is blamed", {"crashes"}, {"innocents"}),
        ("a doubt excuses nobody", {"crashes"}, {"innocents"}),
        ("a fact is signed twice in two forms", {"upgrades"}, {"passed on"}),
        ("a field is lost in passing on", {"upgrades"}, {"passed on"}),
        ("a form is chosen by a liar's word", {"lies", "upgrades"}, {"forms", "settled"}),
        ("the newer form is used while an older member is present", {"upgrades"}, {"forms"}),
    ],
)
def test_a_mutant_is_caught_by_the_checker_made_for_it(
    name: str, families: set[str], checkers: set[str]
) -> None:
    said: set[str] = set()
    with mutants.applied(name):
        for made in (plan(seed, 5, 2.5) for seed in range(1, 200)):
            if families <= set(made.families):
                said |= {checker_of(violation) for violation in Chaos(made).run().violations}
            if said & checkers:
                break
    assert said & checkers

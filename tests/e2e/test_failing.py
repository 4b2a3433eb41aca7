"""Gates that let in whom they should not would be noticed."""

from tests.e2e.failing import is_crowded

START = "2026-01-01 00:00:00,000 INFO    mesh.root.sidecar: mesh sidecar 1 on /state"


def said(*words: str) -> str:
    return "\n".join([START, *(f"2026-01-01 00:00:01,000 INFO    worker.gate: {text}" for text in words)])


def test_one_after_the_other_is_no_crowd() -> None:
    log = said("lets aa in term 1 in", "aa in term 1 is out", "lets bb in term 2 in", "bb in term 2 is out")
    assert not is_crowded(log)


def test_two_at_once_are_a_crowd() -> None:
    assert is_crowded(said("lets aa in term 1 in", "lets bb in term 2 in"))


def test_an_older_claim_after_a_newer_is_one_too() -> None:
    log = said("lets bb in term 2 in", "bb in term 2 is out", "lets aa in term 1 in")
    assert is_crowded(log)


def test_who_was_in_when_the_sidecar_died_is_in_no_more() -> None:
    assert not is_crowded(said("lets aa in term 1 in") + "\n" + said("lets bb in term 2 in"))

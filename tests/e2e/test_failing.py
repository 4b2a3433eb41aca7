"""A gate that passes a stream it should not would be noticed."""

from tests.e2e.failing import is_crowded

START = "2026-01-01 00:00:00,000 INFO    mesh.root.sidecar: mesh sidecar 1 on /state"
OLDER, NEWER = "the stream of aa in term 1", "the stream of bb in term 2"


def said(*words: str) -> str:
    return "\n".join([START, *(f"2026-01-01 00:00:01,000 INFO    worker.gate: {text}" for text in words)])


def test_one_after_the_other_is_no_crowd() -> None:
    log = said(f"{OLDER} passes", f"{OLDER} ended", f"{NEWER} passes", f"{NEWER} ended")
    assert not is_crowded(log)


def test_two_at_once_are_a_crowd() -> None:
    assert is_crowded(said(f"{OLDER} passes", f"{NEWER} passes"))


def test_an_older_claim_after_a_newer_is_one_too() -> None:
    assert is_crowded(said(f"{NEWER} passes", f"{NEWER} ended", f"{OLDER} passes"))


def test_a_stream_ends_with_its_sidecar() -> None:
    assert not is_crowded(said(f"{OLDER} passes") + "\n" + said(f"{NEWER} passes"))

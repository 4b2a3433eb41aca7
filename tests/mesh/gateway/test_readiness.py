from typing import Any

import pytest

from mesh.gateway.readiness import why_not_ready
from tests.mesh.gateway.doubles import STATUS


def test_a_ready_deployment_with_a_leader_is_ready() -> None:
    assert why_not_ready(STATUS) is None


def deployed(**changes: Any) -> dict[str, Any]:
    return {**STATUS, "deployment": {**STATUS["deployment"], **changes}}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({**STATUS, "deployment": None}, "no model is being served (mesh serve MODEL)"),
        ({**STATUS, "leader": None}, "the pool has no leader at the moment"),
        (deployed(state="loading", progress=0.42), "the model is loading, 42%"),
        (
            deployed(state="waiting", progress=0, reason="2 GiB missing"),
            "the model is waiting, 0%: 2 GiB missing",
        ),
        (deployed(state="failed", reason="no memory"), "the model cannot be served: no memory"),
        ({}, "no model is being served (mesh serve MODEL)"),
    ],
)
def test_otherwise_it_says_what_is_missing_and_when_to_come_again(status: dict[str, Any], said: str) -> None:
    not_ready = why_not_ready(status)
    assert not_ready is not None
    assert str(not_ready) == said
    assert not_ready.retry_after >= 1

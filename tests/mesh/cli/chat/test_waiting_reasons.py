from dataclasses import replace
from typing import Any, cast

import pytest

from mesh.cli.chat.waiting_reasons import (
    WaitingFor,
    WaitingReason,
    computed_by,
    loss_in_words,
    why_waiting,
)
from mesh.control.operations import LeaderStatus, Status
from tests.mesh.cli import examples

BETA: LeaderStatus = {"id": examples.BETA, "name": "beta", "term": 3}
GAMMA: LeaderStatus = {"id": examples.GAMMA, "name": "gamma", "term": 4}
ASKED = WaitingFor(BETA)
READING = replace(ASKED, opened=True)
AMID = replace(READING, begun=True)
LOST = replace(AMID, awaited=True)


def status(state: str = "ready", leader: LeaderStatus | None = BETA, **changes: Any) -> Status:
    deployment = {"model": "m.gguf", "sha256": "", "state": state, "progress": 0.4, "reason": "", **changes}
    return cast(Status, examples.status(deployment=deployment, leader=leader))


@pytest.mark.parametrize(
    ("waiting", "said", "reason"),
    [
        (ASKED, status(), WaitingReason("waiting for a slot", False)),
        (READING, status(), WaitingReason("reading the prompt", False)),
        (replace(READING, read=0.4), status(), WaitingReason("reading the prompt, 40%", False)),
        (AMID, status(), WaitingReason("waiting for the next token", False)),
        (ASKED, status("loading"), WaitingReason("the model is loading, 40%", False)),
        (WaitingFor(None), status(leader=None), WaitingReason("the pool has no leader yet", False)),
        (LOST, status(), WaitingReason("the leader was lost, waiting", True)),
        (LOST, status("loading"), WaitingReason("the leader was lost, the model is loading, 40%", True)),
        (ASKED, status(leader=None), WaitingReason("the leader was lost, waiting for the next", True)),
        (LOST, status(leader=GAMMA), WaitingReason("gamma leads now and takes up the answer", True)),
        (
            LOST,
            status("waiting", GAMMA, reason="2 MiB are missing"),
            WaitingReason("gamma leads now and the model is not loaded yet: 2 MiB are missing", True),
        ),
        (LOST, None, WaitingReason("the sidecar of this machine does not answer", True)),
    ],
)
def test_a_wait_is_told_by_what_the_stream_and_the_pool_say(
    waiting: WaitingFor, said: Status | None, reason: WaitingReason
) -> None:
    assert why_waiting(waiting, said) == reason


def test_nothing_served_is_told() -> None:
    assert (
        why_waiting(AMID, cast(Status, examples.status(deployment=None))).text == "nothing is served any more"
    )


def test_a_loss_names_the_old_and_the_new_leader() -> None:
    assert loss_in_words(BETA, GAMMA) == "the leader beta was lost, gamma leads now"
    assert loss_in_words(BETA, BETA) == "the engine of the leader, beta, or the way to it was lost"
    assert loss_in_words(None, GAMMA) == "the leader was lost"


def test_who_computes_is_named_by_the_plan() -> None:
    assert computed_by(cast(Status, examples.status())) == [
        {"member": examples.ALPHA, "name": "alpha", "device": "", "layers": [0, 7]},
        {"member": examples.BETA, "name": "beta", "device": "", "layers": [8, 15]},
    ]
    assert computed_by(cast(Status, examples.status(plan=None))) == []

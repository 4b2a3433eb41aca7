from enum import StrEnum
from typing import Any

import pytest

from mesh.protocol.base.transitions import IllegalTransition, StateMachine, markdown
from mesh.protocol.leadership.election import ROLES, Role, RoleEvent
from mesh.protocol.leadership.leader_leases import LEADER_LEASE, LeaderLeaseEvent, LeaderLeaseState
from mesh.protocol.leadership.worker_lease import WORKER_LEASE, WorkerLeaseEvent, WorkerLeaseState
from tests.mesh.protocol.stories import STORIES, Row

Table = dict[tuple[Any, Any], Any]
TABLES = {
    "election": (ROLES, Role.OUTSIDE, RoleEvent),
    "lease": (WORKER_LEASE, WorkerLeaseState.FREE, WorkerLeaseEvent),
    "tenancy": (LEADER_LEASE, LeaderLeaseState.UNWANTED, LeaderLeaseEvent),
}
every_table = pytest.mark.parametrize(("table", "first", "events"), TABLES.values(), ids=TABLES)


def test_a_machine_follows_its_table() -> None:
    machine = StateMachine(WORKER_LEASE, WorkerLeaseState.FREE)
    states = []
    for deed in (WorkerLeaseEvent.GRANTED, WorkerLeaseEvent.RENEWED, WorkerLeaseEvent.EXPIRED):
        machine.on(deed)
        states.append(machine.state)
    assert states == [WorkerLeaseState.GRANTED, WorkerLeaseState.GRANTED, WorkerLeaseState.FREE]


def test_what_the_table_does_not_list_does_not_happen() -> None:
    machine = StateMachine(WORKER_LEASE, WorkerLeaseState.RESTART_GRACE)
    with pytest.raises(IllegalTransition, match="is granted it while restart grace"):
        machine.on(WorkerLeaseEvent.GRANTED)
    assert machine.state is WorkerLeaseState.RESTART_GRACE


@every_table
def test_every_state_can_be_reached_and_left_again(
    table: Table, first: StrEnum, events: type[StrEnum]
) -> None:
    reached = {first}
    while more := {to for (state, _), to in table.items() if state in reached} - reached:
        reached |= more
    assert reached == set(type(first))
    assert all(any(to != state for (at, _), to in table.items() if at == state) for state in reached)


@every_table
def test_every_event_is_listed(table: Table, first: StrEnum, events: type[StrEnum]) -> None:
    assert {event for _, event in table} == set(events)


def test_whatever_a_member_is_it_can_stop_and_a_leader_gives_up_its_claim_first() -> None:
    after = {role: ROLES[role, RoleEvent.YIELDED] if role is Role.LEADER else role for role in Role}
    assert all(ROLES[role, RoleEvent.STOPPED] is Role.OUTSIDE for role in after.values())


def test_a_worker_in_restart_grace_grants_nothing() -> None:
    assert [
        to
        for (state, _), to in WORKER_LEASE.items()
        if state is WorkerLeaseState.RESTART_GRACE and to is WorkerLeaseState.GRANTED
    ] == []


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> set[Row]:
    """The rows that any machine follows during the test."""
    rows: set[Row] = set()
    follow = StateMachine.on

    def on(machine: StateMachine[Any, Any], event: StrEnum) -> None:
        before = machine.state
        follow(machine, event)
        rows.add((before, event))

    monkeypatch.setattr(StateMachine, "on", on)
    return rows


def test_there_is_a_story_for_every_row() -> None:
    assert set(STORIES) == {*ROLES, *WORKER_LEASE, *LEADER_LEASE}


@pytest.mark.parametrize("row", STORIES, ids=lambda row: f"{row[0]}, {row[1]}")
def test_every_row_happens_to_a_node(happened: set[Row], row: Row) -> None:
    STORIES[row]()
    assert row in happened


class _Light(StrEnum):
    RED = "red"
    GREEN = "green"


class _Press(StrEnum):
    ONCE = "is pressed"
    LONG = "is held"


def test_a_table_in_markdown_has_a_column_a_state_and_leaves_errors_empty() -> None:
    table = {(_Light.RED, _Press.ONCE): _Light.GREEN, (_Light.GREEN, _Press.LONG): _Light.RED}
    assert markdown(table, _Light.RED) == [
        "| | red | green |",
        "|---|---|---|",
        "| is pressed | green |  |",
        "| is held |  | red |",
    ]

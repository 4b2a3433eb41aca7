"""What is told of those who ask: in the log at intervals, and to Prometheus."""

import logging

import pytest

from leader.door.askers.accounts import Askers, Ticket
from leader.door.askers.blame import EngineDeaths
from leader.door.orders import Refused
from mesh.gateway.counters import Exposition, GatewayCounters
from mesh.serving.asking import ask_reporter
from mesh.serving.asking.ask_reporter import AskReporter

DIED = "llama-server ended with SIGSEGV"
REFUSED = Refused(429, "too_many_requests", "64 requests of this member are waiting, as many as may")


class At:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> At:
    made = At()
    monkeypatch.setattr(ask_reporter, "now", made)
    return made


def reporter(askers: Askers | None = None, deaths: EngineDeaths | None = None) -> AskReporter:
    return AskReporter(askers or Askers(), deaths or EngineDeaths(), lambda id: f"name of {id}")


def test_a_limit_that_strikes_a_member_is_logged_once_a_minute(
    at: At, caplog: pytest.LogCaptureFixture
) -> None:
    one = reporter()
    for second in range(61):
        at.now = 100.0 + second
        one.refused("b", REFUSED)
    one.refused("c", REFUSED)
    said = "64 requests of this member are waiting, as many as may (too_many_requests)"
    assert caplog.messages == [f"refused name of {id} ({id}): {said}" for id in ("b", "b", "c")]


def test_a_death_is_logged_with_all_who_were_in_it_and_who_is_suspended(
    at: At, caplog: pytest.LogCaptureFixture
) -> None:
    deaths = EngineDeaths()
    one = reporter(deaths=deaths)
    one.engine_died(DIED)
    assert caplog.messages == []
    for member in ("b", "c"):
        deaths.begin(at.now, member, b"")
    one.engine_died(DIED)
    deaths.begin(at.now, "c", b"1")
    one.engine_died(DIED)
    assert caplog.messages == [
        f"{DIED}, during requests of name of b (b), name of c (c)",
        f"{DIED}, during requests of name of c (c)",
        "name of c (c) may not ask for 60 s: llama-server died of it",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_prometheus_reads_the_counts_by_member(at: At) -> None:
    askers, deaths = Askers(), EngineDeaths()
    ticket = askers.begin(at.now, "b", owner=False)
    assert isinstance(ticket, Ticket)
    ticket.started(at.now)
    ticket.tokens(30, 7)
    askers.refuse(at.now, "c")
    deaths.begin(at.now, "b", b"")
    one = reporter(askers, deaths)
    one.engine_died(DIED)
    lines = Exposition(GatewayCounters(), [one]).render().decode().splitlines()
    for line in (
        'mesh_asked_requests_total{member="b"} 1.0',
        'mesh_asked_refused_total{member="c"} 1.0',
        'mesh_asked_prompt_tokens_total{member="b"} 30.0',
        'mesh_asked_generated_tokens_total{member="b"} 7.0',
        'mesh_asked_engine_deaths_total{member="b"} 1.0',
        'mesh_asked_in_flight{member="b"} 1.0',
        'mesh_asked_suspended_seconds{member="b"} 60.0',
    ):
        assert line in lines

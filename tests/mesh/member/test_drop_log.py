"""What is refused is told once in a while, and counted always."""

import logging

import pytest
import trio
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from trio.testing import MockClock

from mesh.member.drop_log import LOOK_SECONDS, DropReporter
from mesh.protocol.base.drop_counters import DropCounters


def watching(refused: DropCounters[str]) -> DropReporter:
    return DropReporter({"datagram": lambda: (refused.counts, refused.latest)}, lambda: {"cut": 2})


def test_each_look_tells_one_line_of_what_is_new(caplog: pytest.LogCaptureFixture) -> None:
    refused = DropCounters[str]()
    watch = watching(refused)
    watch.look()
    assert caplog.messages == []
    for number in range(10_000):
        refused.count("flood", f"10.6.6.{number % 250}")
    refused.count("forged", "10.6.6.6")
    watch.look()
    watch.look()
    assert caplog.messages == [
        "refused datagram: flood 10000 (the last of 10.6.6.249), forged 1 (the last of 10.6.6.6)"
    ]
    refused.count("forged", "10.7.7.7")
    watch.look()
    assert caplog.messages[1:] == ["refused datagram: forged 1 (the last of 10.7.7.7)"]


async def test_it_looks_every_now_and_then(
    autojump_clock: MockClock, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    refused = DropCounters[str]()
    nursery.start_soon(watching(refused).run)
    for _ in range(30):
        refused.count("flood", "10.6.6.6")
        await trio.sleep(1.0)
    assert len(caplog.messages) == 30 / LOOK_SECONDS - 1 or len(caplog.messages) == 30 / LOOK_SECONDS
    nursery.cancel_scope.cancel()


def test_all_numbers_are_there_for_prometheus() -> None:
    refused = DropCounters[str]()
    refused.count("forged", "10.6.6.6")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(watching(refused))
    text = generate_latest(registry).decode()
    assert 'mesh_refused_total{what="datagram",why="forged"} 1.0' in text
    assert 'mesh_gate_total{event="cut"} 2.0' in text

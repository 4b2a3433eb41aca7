import os

import psutil
import pytest

from tests.benchmarks import idle
from tests.benchmarks.idle import Sent, sent_by
from tests.benchmarks.systems import View

TABLE = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 2000000    3000    0    0    0     0          0         0   400000    5000    0    0    0     0       0          0
"""  # noqa: E501


class Here:
    """This very process, as an agent."""

    name = "here"

    def __init__(self) -> None:
        self.process = psutil.Process(os.getpid())

    def is_up(self) -> bool:
        return True

    def found(self) -> str:
        return ""

    def join(self, invitation: str, seconds: float) -> None:
        pass

    def view(self) -> View:
        raise AssertionError("agents are asked nothing while they idle")


def test_what_an_interface_sent_is_told_from_what_it_received() -> None:
    assert sent_by(TABLE) == Sent(400000, 5000)


def test_an_interface_that_is_not_there_has_sent_nothing_that_could_be_told() -> None:
    assert sent_by(TABLE, "eth1") is None


def test_a_rate_is_over_the_time_that_passed_and_payload_is_without_headers() -> None:
    old = idle._Look(100.0, Sent(1000, 10), 5.0, 1)
    new = idle._Look(120.0, Sent(41000, 210), 5.1, 50_000_000)
    between = idle._between(old, new)
    assert between.wire_bytes_per_second == 2000
    assert between.packets_per_second == 10
    assert between.payload_bytes_per_second == 2000 - 10 * (14 + 20 + 8)
    assert between.cpu_percent == pytest.approx(0.5)
    assert between.rss_megabytes == 50


async def test_an_agent_that_shares_its_interface_has_memory_and_processor_time_alone() -> None:
    (measured,) = await idle.measure([Here()], 0.01, own_network=False)
    assert measured.wire_bytes_per_second is measured.payload_bytes_per_second is None
    assert measured.rss_megabytes > 1

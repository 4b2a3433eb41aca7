"""Who has room at the API's door, and who gives way."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mesh.gateway.entry.clients import (
    MAX_CLIENTS_OF_A_SOURCE,
    MAX_LOCAL_CLIENTS,
    MAX_OTHER_CLIENTS,
    Clients,
)
from mesh.gateway.proxy import MAX_IN_FLIGHT

OURS = "10.0.0.1"


@dataclass(eq=False)
class FakeConnection:
    """A connection that is idle, or not."""

    idle_since: float | None = 0.0
    closed: bool = False

    def close_when_idle(self) -> None:
        assert self.idle_since is not None, "a request in progress is never cut"
        self.closed = True


def test_whoever_has_a_place_may_have_a_request_in_flight() -> None:
    assert MAX_LOCAL_CLIENTS + MAX_OTHER_CLIENTS <= MAX_IN_FLIGHT
    assert MAX_CLIENTS_OF_A_SOURCE < MAX_OTHER_CLIENTS


def come(clients: Clients, host: str, times: int, idle_since: float | None) -> list[FakeConnection]:
    """Those that got a place, at that moment."""
    connections = [FakeConnection(idle_since) for _ in range(times)]
    return [one for one in connections if clients.arrive(one, host, OURS)]


def test_the_longest_idle_of_a_full_source_gives_way() -> None:
    clients = Clients()
    came = [come(clients, "10.6.6.6", 1, float(-number))[0] for number in range(MAX_CLIENTS_OF_A_SOURCE)]
    assert come(clients, "10.6.6.6", 1, 0.0)
    assert [one.closed for one in came] == [False] * (len(came) - 1) + [True]


def test_a_source_whose_requests_are_all_in_progress_gets_no_more() -> None:
    clients = Clients()
    assert len(come(clients, "10.6.6.6", 450, None)) == MAX_CLIENTS_OF_A_SOURCE
    assert come(clients, "10.0.0.7", 1, None)
    assert len(come(clients, "127.0.0.1", MAX_LOCAL_CLIENTS + 9, None)) == MAX_LOCAL_CLIENTS


def test_whatever_other_hosts_do_this_machines_programs_have_room() -> None:
    clients = Clients()
    busy = [come(clients, f"10.0.1.{number}", 1, None) for number in range(255)]
    assert sum(map(len, busy)) == MAX_OTHER_CLIENTS
    assert not come(clients, "10.0.2.1", 1, 0.0)
    for local in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", OURS):
        assert come(clients, local, 9, None)


def test_of_many_sources_the_greediest_that_is_idle_gives_way() -> None:
    clients = Clients()
    greedy = come(clients, "10.6.6.6", MAX_CLIENTS_OF_A_SOURCE, 9.0)
    few = [come(clients, f"10.0.1.{number}", 1, 1.0)[0] for number in range(MAX_OTHER_CLIENTS - 64)]
    assert come(clients, "10.0.2.1", 1, 0.0)
    assert sum(one.closed for one in greedy) == 1
    assert not any(one.closed for one in few)


def test_places_come_back() -> None:
    clients = Clients()
    came = come(clients, "10.6.6.6", 450, None)
    for one in came:
        clients.depart(one)
        clients.depart(one)
    assert len(come(clients, "10.6.6.6", 450, None)) == MAX_CLIENTS_OF_A_SOURCE


HOSTS = st.sampled_from(["127.0.0.1", OURS, "10.6.6.6", "2001:db8::1", "2001:db8::2", "10.0.0.9"])


@given(st.lists(st.tuples(HOSTS, st.integers(1, 120), st.none() | st.floats(0, 9)), max_size=12))
def test_no_bound_is_exceeded_and_nobody_busy_is_cut(arrivals: list[tuple[str, int, float | None]]) -> None:
    clients = Clients()
    held: dict[str, list[FakeConnection]] = {}
    for host, times, idle_since in arrivals:
        held.setdefault(host, []).extend(come(clients, host, times, idle_since))
    there = {host: sum(not one.closed for one in ones) for host, ones in held.items()}
    local = sum(count for host, count in there.items() if host in ("127.0.0.1", OURS))
    assert local <= MAX_LOCAL_CLIENTS
    assert sum(there.values()) - local <= MAX_OTHER_CLIENTS
    assert all(there.get(host, 0) <= MAX_CLIENTS_OF_A_SOURCE for host in ("10.6.6.6", "10.0.0.9"))
    assert there.get("2001:db8::1", 0) + there.get("2001:db8::2", 0) <= MAX_CLIENTS_OF_A_SOURCE

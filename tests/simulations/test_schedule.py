from random import Random

import pytest

from simulations.faults import Fault
from simulations.schedule import FAMILIES, families, schedule, settings


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_is_in_order_within_its_storm_and_names_hosts_that_exist(seed: int) -> None:
    random = Random(seed)
    faults = schedule(random, 6, (5,), 60.0, tuple(FAMILIES))
    assert faults
    assert faults == sorted(faults, key=lambda fault: fault.at)
    assert all(0 <= number < 6 for fault in faults for number in (*fault.hosts, *fault.others))
    assert all(fault.at >= 0.0 for fault in faults)


@pytest.mark.parametrize("hosts", range(1, 5))
def test_a_pool_of_few_hosts_has_schedules_too(hosts: int) -> None:
    for seed in range(200):
        faults = schedule(Random(seed), hosts, (), 60.0, tuple(FAMILIES))
        assert faults
        assert all(0 <= number < hosts for fault in faults for number in (*fault.hosts, *fault.others))


def test_liars_alone_lie() -> None:
    random = Random(1)
    faults = schedule(random, 6, (4, 5), 300.0, ("lies",))
    assert {fault.kind for fault in faults} == {"lie"}
    assert {fault.hosts[0] for fault in faults} == {4, 5}
    assert schedule(random, 6, (), 60.0, ("lies",)) == []


def test_every_family_comes_and_every_kind_of_fault() -> None:
    random = Random(1)
    chosen = [families(random) for _ in range(200)]
    assert {name for names in chosen for name in names} == set(FAMILIES)
    assert min(len(names) for names in chosen) == 1
    kinds = {fault.kind for _ in range(30) for fault in schedule(random, 7, (6,), 90.0, tuple(FAMILIES))}
    assert kinds == {
        "crash", "power", "tear", "restart all", "pause", "stutter", "wipe", "roll back", "leave", "join",
        "jump", "rate", "partition", "bridge", "one way", "clog", "loss", "duplicate", "corrupt", "truncate",
        "tail", "delay",
        "mtu", "weights", "hand over", "deploy", "engine", "profile", "lie", "evict",
        "readdress", "stop engine", "machine", "ask", "move",
        "upgrade", "restore", "choose engine", "unruly", "drop streams",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(50))
def test_settings_stay_sane(seed: int) -> None:
    tuned = settings(Random(seed))
    assert tuned.direct_timeout < tuned.probe_timeout
    assert 4 * tuned.renew <= tuned.lease
    assert tuned.max_quarantine <= 20.0


def test_a_fault_tells_what_it_does() -> None:
    fault = Fault(1.0, "one way", (1, 2), (3,), lasts=4.0)
    assert str(fault) == "one way host1 host2 and host3 for 4.0 s"

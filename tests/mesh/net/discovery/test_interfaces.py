import ipaddress

import pytest

from mesh.net.discovery.interfaces import MAX_ADVERTISED, Interface, advertised, local_addresses, sample


def interface(
    name: str, *addresses: str, up: bool = True, loopback: bool = False, bridge: bool = False
) -> Interface:
    return Interface(name, up, loopback, bridge, addresses)


LINUX = [
    interface("lo", "127.0.0.1", "::1", loopback=True),
    interface("enp3s0", "192.168.1.10", "2001:db8::10", "fe80::1%enp3s0"),
    interface("wlp2s0", "192.168.1.11", up=False),
    interface("docker0", "172.17.0.1", bridge=True),
    interface("br-4f5e6a7b8c9d", "172.18.0.1", bridge=True),
    interface("virbr0", "192.168.122.1", bridge=True),
    interface("mybridge", "10.1.0.1", bridge=True),
    interface("veth12ab", "fe80::2%veth12ab"),
    interface("tailscale0", "100.101.102.103", "fd7a:115c:a1e0::1", "fe80::3%tailscale0"),
]

MACOS = [
    interface("lo0", "127.0.0.1", "::1", "fe80::1%lo0", loopback=True),
    interface("en0", "fe80::14%en0", "192.168.0.20", "fd00::20"),
    interface("bridge0", "169.254.7.7"),
    interface("bridge100", "192.168.64.1"),
    interface("awdl0", "fe80::a%awdl0"),
    interface("llw0", "fe80::a%llw0"),
    interface("en5", "169.254.9.9"),
    interface("utun3", "100.64.5.6"),
]


def test_on_linux_bridges_loopback_and_what_is_down_are_left_out() -> None:
    assert advertised(LINUX) == ["192.168.1.10", "100.101.102.103", "2001:db8::10", "fd7a:115c:a1e0::1"]


def test_on_macos_bridges_are_known_by_name_and_link_local_comes_after_the_tailnet() -> None:
    assert advertised(MACOS) == ["192.168.0.20", "100.64.5.6", "169.254.9.9", "fd00::20"]


def test_a_veth_in_a_container_is_an_interface_like_any_other() -> None:
    assert advertised([interface("veth0", "10.0.0.2")]) == ["10.0.0.2"]


def test_the_same_address_twice_is_advertised_once() -> None:
    assert advertised([interface("en0", "10.0.0.2"), interface("en1", "10.0.0.2")]) == ["10.0.0.2"]


def test_at_most_eight_addresses_are_advertised() -> None:
    many = interface("eth0", *(f"10.0.0.{number}" for number in range(20)))
    assert len(advertised([many])) == MAX_ADVERTISED


@pytest.mark.parametrize("bind", ["127.0.0.2", "172.17.0.1", "::1"])
def test_a_named_address_is_advertised_as_it_is(bind: str) -> None:
    assert local_addresses(bind) == [bind]


@pytest.mark.parametrize("bind", [None, "0.0.0.0", "::"])
def test_every_address_is_no_address_to_advertise(bind: str | None) -> None:
    assert local_addresses(bind) == advertised(sample())


def test_this_machines_sample_knows_its_loopback() -> None:
    (loopback,) = [one for one in sample() if "127.0.0.1" in one.addresses]
    assert loopback.loopback
    assert loopback.up


def test_nothing_advertised_here_is_loopback() -> None:
    assert not any(ipaddress.ip_address(text).is_loopback for text in local_addresses())

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.net.discovery.tailnet import (
    MAX_PEERS,
    TailnetPeer,
    TailnetStatus,
    Whois,
    candidates,
    parse_interface,
    parse_status,
    parse_whois,
    same_owner,
)

STATUS: dict[str, Any] = {
    "Version": "1.90.6",
    "TUN": True,
    "BackendState": "Running",
    "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"],
    "Self": {
        "ID": "n1",
        "HostName": "Alices-MacBook",
        "DNSName": "alices-macbook.tail1234.ts.net.",
        "OS": "macOS",
        "UserID": 7,
        "TailscaleIPs": ["100.64.0.1", "fd7a:115c:a1e0::1"],
        "Online": True,
    },
    "Peer": {
        "nodekey:aa": {
            "HostName": "tower",
            "DNSName": "tower.tail1234.ts.net.",
            "OS": "linux",
            "UserID": 7,
            "TailscaleIPs": ["100.64.0.2"],
            "CurAddr": "192.168.1.5:41641",
            "Relay": "fra",
            "Online": True,
        },
        "nodekey:bb": {
            "HostName": "bobs",
            "OS": "windows",
            "UserID": 8,
            "TailscaleIPs": ["100.64.0.3"],
            "CurAddr": "",
            "Relay": "fra",
            "Online": True,
        },
        "nodekey:cc": {
            "HostName": "ci",
            "OS": "linux",
            "UserID": 9,
            "TailscaleIPs": ["100.64.0.4"],
            "Tags": ["tag:ci"],
            "Online": False,
        },
    },
    "User": {
        "7": {"ID": 7, "LoginName": "alice@example.com"},
        "8": {"ID": 8, "LoginName": "bob@example.com"},
        "9": {"ID": 9, "LoginName": "tagged-devices"},
    },
}

PEER = TailnetPeer("p", ("100.64.0.9",), "alice@example.com", (), True, "linux", True, False, False)
ALICE = Whois("a", "alice@example.com", (), False, False)
TAGGED = Whois("t", "", ("tag:gpu", "tag:lab"), False, False)


def test_a_status_says_who_this_machine_is_and_who_its_peers_are() -> None:
    status = parse_status(STATUS)
    assert (status.state, status.name, status.self_user, status.self_tags) == (
        "Running",
        "alices-macbook",
        "alice@example.com",
        (),
    )
    assert status.self_addresses == ("100.64.0.1", "fd7a:115c:a1e0::1")
    tower, bobs, ci = status.peers
    assert tower == TailnetPeer(
        "tower", ("100.64.0.2",), "alice@example.com", (), True, "linux", True, False, False
    )
    assert (bobs.name, bobs.user, bobs.direct) == ("bobs", "bob@example.com", False)
    assert (ci.user, ci.tags, ci.online) == ("", ("tag:ci",), False)


@pytest.mark.parametrize("key", ["ShareeNode", "AltSharerUserID"])
def test_a_node_that_someone_shared_in_is_known_as_such(key: str) -> None:
    assert parse_status({"Peer": {"k": {key: 1 if key != "ShareeNode" else True}}}).peers[0].shared


def test_a_whois_names_user_and_machine() -> None:
    answer = {
        "Node": {"Name": "tower.tail1234.ts.net.", "ComputedName": "tower", "User": 7},
        "UserProfile": {"LoginName": "alice@example.com"},
    }
    assert parse_whois(answer) == Whois("tower", "alice@example.com", (), False, False)


@pytest.mark.parametrize("node", [{"Sharer": 5}, {"Hostinfo": {"ShareeNode": True}}])
def test_a_whois_of_a_shared_node_says_so(node: dict[str, Any]) -> None:
    assert parse_whois({"Node": node}).shared


def test_a_tagged_machine_has_no_user() -> None:
    answer = {"Node": {"Tags": ["tag:gpu"]}, "UserProfile": {"LoginName": "tagged-devices"}}
    assert (parse_whois(answer).user, parse_whois(answer).tags) == ("", ("tag:gpu",))


@pytest.mark.parametrize(
    ("this", "other", "reason"),
    [
        (ALICE, ALICE, ""),
        (TAGGED, TAGGED, ""),
        (TAGGED, dataclasses.replace(TAGGED, tags=("tag:gpu",)), ""),
        (
            ALICE,
            dataclasses.replace(ALICE, user="bob@example.com"),
            "belongs to bob@example.com, this pool to alice@example.com",
        ),
        (ALICE, dataclasses.replace(ALICE, shared=True), "is shared in from another tailnet"),
        (ALICE, dataclasses.replace(ALICE, expired=True), "has an expired key on the tailnet"),
        (ALICE, TAGGED, "is tagged tag:gpu, tag:lab, this pool belongs to alice@example.com"),
        (TAGGED, ALICE, "belongs to alice@example.com, this pool to tag:gpu, tag:lab"),
        (
            dataclasses.replace(TAGGED, tags=("tag:gpu",)),
            dataclasses.replace(TAGGED, tags=("tag:gpu", "tag:x")),
            "is tagged tag:x, which is not among this machine's tags",
        ),
        (
            dataclasses.replace(ALICE, user=""),
            dataclasses.replace(ALICE, user=""),
            "belongs to nobody known, this pool to nobody known",
        ),
    ],
)
def test_who_has_the_same_owner(this: Whois, other: Whois, reason: str) -> None:
    assert same_owner(this, other) == (not reason, reason)


def test_online_machines_of_the_same_owner_are_asked_first_and_direct_before_relayed() -> None:
    peers = (
        dataclasses.replace(PEER, name="relayed", direct=False),
        dataclasses.replace(PEER, name="direct", os="macOS"),
        dataclasses.replace(PEER, name="phone", os="iOS"),
        dataclasses.replace(PEER, name="off", online=False),
        dataclasses.replace(PEER, name="bobs", user="bob@example.com"),
        dataclasses.replace(PEER, name="shared", shared=True),
        dataclasses.replace(PEER, name="expired", expired=True),
        dataclasses.replace(PEER, name="nowhere", addresses=()),
    )
    status = TailnetStatus("Running", "me", ("100.64.0.1",), "alice@example.com", (), peers)
    assert [peer.name for peer in candidates(status)] == ["direct", "relayed", "bobs"]


def test_of_a_huge_tailnet_a_bounded_number_of_peers_is_taken() -> None:
    assert (
        len(parse_status({"Peer": {str(number): {} for number in range(MAX_PEERS + 10)}}).peers) == MAX_PEERS
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Self", "Peer", "User", "Node", "Tags", "TailscaleIPs", "UserID", "Hostinfo", "k"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_whatever_the_daemon_answers_is_understood_as_something(answer: Any) -> None:
    assert len(parse_status(answer).peers) <= MAX_PEERS
    assert isinstance(parse_whois(answer).user, str)
    assert isinstance(parse_interface(answer), bool)


@pytest.mark.parametrize(
    ("answer", "has_one"), [({"TUN": True}, True), ({"TUN": False}, False), ({}, False), ({"TUN": 1}, False)]
)
def test_only_a_daemon_that_says_so_has_an_interface(answer: dict[str, Any], has_one: bool) -> None:
    assert parse_interface(answer) is has_one

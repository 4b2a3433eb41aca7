"""One node's view of another member: where to send, and how long an answer may take."""

import pytest

from mesh.protocol.membership.peers import MemberState, Peer
from mesh.wire.endpoint import Endpoint
from mesh.wire.facts import Record
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Profile

OWN, SECOND = Endpoint("10.0.0.1", 1), Endpoint("10.0.0.1", 2)
SOURCE, PROVEN = Endpoint("10.0.0.2", 1), Endpoint("10.0.0.3", 1)


def _peer(*addresses: Endpoint) -> Peer:
    profile = Profile(addresses=addresses)
    record = Record(PoolId(bytes(16)), NodeId(bytes(16)), 1, bytes(8), 1, False, profile)
    return Peer(NodeId(bytes(16)), 1, record=record)


def test_the_proven_address_goes_before_the_source_and_that_before_the_advertised() -> None:
    peer = _peer(OWN, SECOND)
    assert (peer.endpoint, peer.endpoints()) == (OWN, [OWN, SECOND])
    peer.source = SOURCE
    assert (peer.endpoint, peer.endpoints()) == (SOURCE, [SOURCE, OWN, SECOND])
    peer.proven = PROVEN
    assert (peer.endpoint, peer.endpoints()) == (PROVEN, [PROVEN, SOURCE, OWN, SECOND])


def test_an_address_that_is_known_in_several_ways_is_tried_once() -> None:
    peer = _peer(OWN, SECOND)
    peer.source = peer.proven = SECOND
    assert peer.endpoints() == [SECOND, OWN]


def test_a_member_without_any_address_cannot_be_sent_to() -> None:
    for peer in (_peer(), Peer(NodeId(bytes(16)), 1)):
        assert (peer.endpoint, peer.endpoints()) == (None, [])


@pytest.mark.parametrize(
    ("state", "present"),
    [
        (MemberState.ALIVE, True),
        (MemberState.SUSPECT, True),
        (MemberState.DEAD, False),
        (MemberState.LEFT, False),
    ],
)
def test_a_suspect_counts_as_a_member_and_the_gone_do_not(state: MemberState, present: bool) -> None:
    assert Peer(NodeId(bytes(16)), 1, state=state).present is present


def test_patience_is_the_round_trip_and_four_deviations_and_a_second_at_most() -> None:
    peer = _peer()
    assert peer.patience == 0.0
    peer.measured(0.1)
    assert peer.patience == pytest.approx(0.1 + 4 * 0.05)
    peer.measured(0.1)
    assert peer.patience == pytest.approx(0.1 + 4 * 0.05 * 0.75)
    peer.measured(30.0)
    assert peer.patience == 1.0


def test_a_late_answer_counts_at_once_unless_it_was_faster() -> None:
    peer = _peer()
    peer.measured(0.1)
    peer.measured(0.9, late=True)
    assert peer.rtt == 0.9
    peer.measured(0.1, late=True)
    assert peer.rtt == pytest.approx(0.9 - 0.125 * 0.8)

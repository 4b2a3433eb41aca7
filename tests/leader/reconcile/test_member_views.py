"""Members as the reconciler and placement see them."""

from dataclasses import replace

import pytest

from leader.placement.cost import assumed_layer_seconds
from leader.reconcile.member_views import UNMEASURED_RTT, device, member_view
from mesh.protocol.membership.peers import MemberState
from mesh.wire.identity import id_text
from mesh.wire.rights import Rights
from tests.leader.members import ANNA, BERT, PROFILE, TOY, member


def test_a_member_is_seen_with_all_that_the_reconciler_asks() -> None:
    view = member_view(member(), BERT, TOY)
    assert (view.name, view.alive, view.work, view.lead, view.paused) == ("anna", True, True, True, False)
    assert (view.engine, view.engine_version) == ("ready", "abc 7.0.0")
    assert view.models == {b"r" * 32}
    assert view.device is not None


@pytest.mark.parametrize(
    ("state", "alive"),
    [
        (MemberState.ALIVE, True),
        (MemberState.SUSPECT, True),
        (MemberState.DEAD, False),
        (MemberState.LEFT, False),
    ],
)
def test_a_suspected_member_still_counts_as_alive(state: MemberState, alive: bool) -> None:
    assert member_view(member(state=state), BERT, None).alive is alive


def test_rights_and_what_a_member_offers_must_agree() -> None:
    assert not member_view(member(rights=Rights.LEAD), BERT, None).work
    assert not member_view(member(rights=Rights.WORK), BERT, None).lead
    assert not member_view(member(replace(PROFILE, memory_offered=0)), BERT, None).work
    assert not member_view(member(replace(PROFILE, rank=0)), BERT, None).lead


def test_a_member_that_was_never_heard_of_can_do_nothing() -> None:
    view = member_view(member(None), BERT, TOY)
    assert view.name == id_text(ANNA)[:8]
    assert (view.work, view.lead, view.engine) == (False, False, "missing")


def test_the_leaders_own_device_has_no_network_before_it() -> None:
    own = device(ANNA, PROFILE, 0.002, TOY, ANNA)
    assert (own.local, own.rtt, own.accelerator) == (True, 0.0, "CUDA0")


def test_a_workers_device_is_as_far_as_was_measured() -> None:
    far = device(ANNA, PROFILE, 0.002, TOY, BERT)
    assert (far.local, far.rtt, far.accelerator) == (False, 0.002, "")
    assert device(ANNA, PROFILE, None, TOY, BERT).rtt == UNMEASURED_RTT
    assert far.layer_seconds == assumed_layer_seconds(TOY, "cuda")


# --- what was asked for

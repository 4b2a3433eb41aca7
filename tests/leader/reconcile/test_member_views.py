"""Members as the reconciler and placement see them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.placement.cost import assumed_layer_seconds
from leader.reconcile.member_views import UNMEASURED_RTT, devices, member_view
from mesh.protocol.membership.peers import MemberState
from mesh.wire.identity import id_text
from mesh.wire.profile import MAX_DEVICES, OfferedDevice
from mesh.wire.rights import Rights
from tests.leader.members import ANNA, BERT, PROFILE, TOY, member


def test_a_member_is_seen_with_all_that_the_reconciler_asks() -> None:
    view = member_view(member(), BERT, TOY)
    assert (view.name, view.alive, view.work, view.lead, view.paused) == ("anna", True, True, True, False)
    assert (view.engine, view.engine_version) == ("ready", "abc 7.0.0")
    assert view.models == {b"r" * 32}
    assert [one.memory_offered for one in view.devices] == [PROFILE.memory_offered]


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
    (own,) = devices(ANNA, PROFILE, 0.002, TOY, ANNA)
    assert (own.local, own.rtt, own.accelerator) == (True, 0.0, "CUDA0")


def test_a_workers_device_is_as_far_as_was_measured() -> None:
    (far,) = devices(ANNA, PROFILE, 0.002, TOY, BERT)
    assert (far.local, far.rtt, far.accelerator) == (False, 0.002, "")
    (unmeasured,) = devices(ANNA, PROFILE, None, TOY, BERT)
    assert unmeasured.rtt == UNMEASURED_RTT
    assert far.layer_seconds == assumed_layer_seconds(TOY, "cuda")


# --- what was asked for


SEVERAL = replace(
    PROFILE,
    devices=(
        OfferedDevice("cuda", "CUDA0", memory_offered=8),
        OfferedDevice("cuda", "CUDA1", memory_offered=4),
        OfferedDevice("cpu", "CPU", memory_offered=2),
    ),
)


def test_each_device_of_a_machine_stands_for_itself() -> None:
    seen = devices(ANNA, SEVERAL, 0.002, TOY, BERT)
    assert [one.key for one in seen] == [(ANNA, "CUDA0"), (ANNA, "CUDA1"), (ANNA, "CPU")]
    assert [one.name for one in seen] == ["anna/CUDA0", "anna/CUDA1", "anna/CPU"]
    assert [one.accelerator for one in devices(ANNA, SEVERAL, 0.002, TOY, ANNA)] == ["CUDA0", "CUDA1", ""]
    assert member_view(member(SEVERAL), BERT, None).memory_offered == 14, "whatever model is at hand"


def test_the_leaders_processor_is_one_device_however_it_is_divided() -> None:
    halves = tuple(OfferedDevice("cpu", f"cpu:{number}", memory_offered=3) for number in range(2))
    (host,) = devices(ANNA, replace(PROFILE, devices=halves), None, TOY, ANNA)
    assert (host.host, host.memory_offered) == (True, 6)
    assert len(devices(ANNA, replace(PROFILE, devices=halves), None, TOY, BERT)) == 2


@pytest.mark.parametrize(
    ("rights", "has_served", "leads", "most"),
    [
        (Rights.WORK, False, False, TOY.n_layers // 2),
        (Rights.WORK | Rights.LEAD, False, False, TOY.n_layers // 2),
        (Rights.WORK, True, False, None),
        (Rights.WORK | Rights.OWN, False, False, None),
        (Rights.WORK | Rights.LEAD, False, True, None),
    ],
)
def test_who_is_no_owner_and_has_not_served_gets_half_of_the_layers_at_most(
    rights: Rights, has_served: bool, leads: bool, most: int | None
) -> None:
    one = member(rights=rights)
    view = member_view(one, ANNA if leads else BERT, TOY, has_served=has_served)
    assert [device.most_layers for device in view.devices] == [most]


NAMES = st.sampled_from(["", "CUDA0", "cuda0", "CPU", "cpu:0", "\x1b[2J"])


@given(
    told=st.lists(st.builds(OfferedDevice, st.text(max_size=4), NAMES), min_size=1, max_size=MAX_DEVICES),
    leads=st.booleans(),
)
def test_no_two_devices_have_one_name_whatever_a_record_says(told: list[OfferedDevice], leads: bool) -> None:
    seen = devices(ANNA, replace(PROFILE, devices=tuple(told)), None, TOY, ANNA if leads else BERT)
    names = [one.device for one in seen]
    assert len(set(names)) == len(names) >= 1
    assert len(names) == 1 or all(names)


def test_several_devices_on_probation_have_the_half_together() -> None:
    offered = tuple(OfferedDevice("cuda", f"CUDA{number}", 1 << 30, 1 << 29) for number in range(2))
    one = member(replace(PROFILE, devices=offered), rights=Rights.WORK)
    view = member_view(one, BERT, TOY, has_served=False)
    assert [device.most_layers for device in view.devices] == [TOY.n_layers // 2] * 2

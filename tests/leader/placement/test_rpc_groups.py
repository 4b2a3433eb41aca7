"""Which rpc-servers a placement asks for, and what the engine calls their devices."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from leader.placement.cost import Device
from leader.placement.rpc_groups import RpcGroup, engine_names, groups
from tests.leader.shapes import host

ANNA, BERT = b"a" * 32, b"b" * 32


def device(member: bytes, name: str) -> Device:
    return Device(member, f"{member[:1].decode()}/{name}", 1 << 30, 0.001, device=name)


PIPELINE = [device(BERT, "CUDA1"), device(ANNA, ""), device(BERT, "CUDA0")]


def test_each_device_has_an_rpc_server_of_its_own() -> None:
    assert groups(PIPELINE) == (
        RpcGroup(BERT, ("CUDA1",)),
        RpcGroup(ANNA, ("",)),
        RpcGroup(BERT, ("CUDA0",)),
    )


def test_a_joined_members_devices_share_an_rpc_server_where_the_first_stands() -> None:
    assert groups(PIPELINE, {BERT}) == (RpcGroup(BERT, ("CUDA1", "CUDA0")), RpcGroup(ANNA, ("",)))


def test_devices_behind_a_group_of_two_are_numbered_after_both() -> None:
    names = engine_names(groups(PIPELINE, {BERT}))
    assert names == {(BERT, "CUDA1"): "RPC0", (BERT, "CUDA0"): "RPC1", (ANNA, ""): "RPC2"}


def test_the_leaders_own_devices_need_no_rpc_server() -> None:
    assert groups([host(), replace(host(), accelerator="CUDA0")], {host().member}) == ()


def test_a_request_names_no_device_of_a_member_that_tells_of_one_alone() -> None:
    assert RpcGroup(ANNA, ("",)).named == ()
    assert RpcGroup(BERT, ("CUDA0", "CPU")).named == ("CUDA0", "CPU")


@given(
    st.permutations([(member, name) for member in (ANNA, BERT) for name in ("CUDA0", "CUDA1", "CPU")]),
    st.sets(st.sampled_from([ANNA, BERT])),
)
def test_however_they_are_joined_each_device_is_served_and_named_once(
    keys: list[tuple[bytes, str]], joined: set[bytes]
) -> None:
    servers = groups([device(*key) for key in keys], joined)
    assert sorted(key for server in servers for key in server.keys) == sorted(keys)
    assert sorted(engine_names(servers).values()) == [f"RPC{number}" for number in range(len(keys))]
    assert len([server for server in servers if server.member in joined]) == len(joined)

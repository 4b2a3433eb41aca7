"""Numbers of layers in a deployment: what goes in comes out, within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leader.reconcile.deployed_layers import MOST_OPTIONS, layers_of, of_members, with_devices
from mesh.wire.errors import MeshError
from mesh.wire.facts import Deployment, DeploymentOptions
from mesh.wire.identity import NodeId, PoolId
from mesh.wire.profile import Model
from mesh.wire.signed_facts import MAX_OPTIONS

ANNA, BERT = NodeId(b"a" * 16), NodeId(b"\xff\x00" * 8)
DEVICES = st.sampled_from(["", "CUDA0", "Vulkan1", "cpu:0"])


def deployment(layers: dict[tuple[bytes, str], int], options: DeploymentOptions = ()) -> Deployment:
    return Deployment(
        PoolId(b"p" * 16),
        ANNA,
        1,
        Model("toy", 1, b"r" * 32),
        512,
        1,
        True,
        of_members(layers),
        options=with_devices(options, layers),
    )


@given(st.dictionaries(st.tuples(st.sampled_from([ANNA, BERT]), DEVICES), st.integers(0, 999)))
def test_what_a_deployment_says_is_read_again(layers: dict[tuple[bytes, str], int]) -> None:
    said = deployment(layers, (("kv", "q8_0"),))
    assert layers_of(said) == layers
    assert ("kv", "q8_0") in said.options
    assert list(said.options) == sorted(said.options)
    assert all(len(key.encode()) <= 24 and len(value.encode()) <= 64 for key, value in said.options)


def test_former_numbers_of_devices_go_with_the_next_ones() -> None:
    former = with_devices((), {(ANNA, "CUDA0"): 3, (BERT, "CPU"): 1})
    assert len(former) == 2
    assert with_devices(former, {}) == ()
    assert len(with_devices(former, {(ANNA, "CUDA0"): 4})) == 1


def test_more_than_a_deployment_has_room_for_is_refused() -> None:
    assert MOST_OPTIONS < MAX_OPTIONS
    many: dict[tuple[bytes, str], int] = {(bytes([n]) * 16, "CPU"): 1 for n in range(MOST_OPTIONS + 1)}
    with pytest.raises(MeshError, match="too many single devices"):
        with_devices((), many)
    long: dict[tuple[bytes, str], int] = {(ANNA, f"Vulkan{number}"): 100 for number in range(8)}
    with pytest.raises(MeshError, match="too many single devices"):
        with_devices((), long)


@pytest.mark.parametrize(
    ("key", "value"),
    [("l.", "CPU=1"), ("l.!", "CPU=1"), ("l.YQ", "CPU=1"), ("l.é", "CPU=1")],
)
def test_an_option_that_says_no_member_is_left_out(key: str, value: str) -> None:
    assert layers_of(deployment({}, ())) == {}
    said = Deployment(PoolId(b"p" * 16), ANNA, 1, Model("", 1, b""), 1, 1, True, options=((key, value),))
    assert layers_of(said) == {}


@pytest.mark.parametrize("value", ["", "CPU", "CPU=", "CPU=-1", "CPU=1.5", "=3", "CPU=123456", "CPU=\u0663"])
def test_numbers_that_are_none_are_left_out(value: str) -> None:
    [(key, _)] = with_devices((), {(ANNA, "CPU"): 1})
    said = Deployment(PoolId(b"p" * 16), ANNA, 1, Model("", 1, b""), 1, 1, True, options=((key, value),))
    assert layers_of(said) == {}

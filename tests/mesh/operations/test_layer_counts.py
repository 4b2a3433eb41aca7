"""Names in --layers: machines and their devices."""

import pytest

from mesh.operations.layer_counts import Machine, counts_by_device
from mesh.wire.errors import MeshError

ANNA = Machine(b"a", ("aa", "anna"), ("CUDA0", "CPU"))
BERT = Machine(b"b", ("bb", "bert"))
SLASH = Machine(b"s", ("ss", "lab/bert"), ("CPU",))
GONE = Machine(b"g", ("gg", "anna"), gone=True)
ALL = [ANNA, BERT, SLASH, GONE]


def counts(**layers: int) -> object:
    return counts_by_device({name.replace("_", "/"): count for name, count in layers.items()}, ALL, "look")


def test_a_machine_or_a_device_of_it_is_named() -> None:
    assert counts(anna=3, bb=1) == {(b"a", ""): 3, (b"b", ""): 1}
    assert counts(anna_cuda0=3, aa_CPU=2) == {(b"a", "CUDA0"): 3, (b"a", "CPU"): 2}
    assert counts_by_device(None, ALL, "look") == {}


def test_names_of_machines_may_have_a_slash() -> None:
    assert counts(lab_bert=3) == {(b"s", ""): 3}
    assert counts(lab_bert_cpu=3) == {(b"s", "CPU"): 3}


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ({"carl": 1}, "no member is called carl"),
        ({"carl_CPU": 1}, "no member is called carl"),
        ({"anna_CUDA1": 1}, "anna has no device CUDA1"),
        ({"bert_CPU": 1}, "bert has no device CPU"),
        ({"anna": 1, "aa": 2}, "names aa twice"),
        ({"anna_CPU": 1, "anna_cpu": 2}, "names anna/cpu twice"),
        ({"anna": 1, "anna_CPU": 2}, "names anna as a whole and its device CPU"),
    ],
)
def test_what_names_nothing_or_the_same_twice_is_refused(layers: dict[str, int], why: str) -> None:
    with pytest.raises(MeshError, match=why):
        counts(**layers)


def test_what_a_machine_has_is_told_with_the_error() -> None:
    with pytest.raises(MeshError) as caught:
        counts(anna_gpu=1)
    assert caught.value.hint == "it has CUDA0, CPU"
    with pytest.raises(MeshError) as caught:
        counts(bert_gpu=1)
    assert caught.value.hint == "it has one: type bert=N"


def test_two_that_are_here_make_a_name_ambiguous() -> None:
    with pytest.raises(MeshError, match="several members are called bert"):
        counts_by_device({"bert": 1}, [BERT, Machine(b"c", ("cc", "bert"))], "look")

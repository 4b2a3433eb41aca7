"""What a person writes behind ``--memory`` is understood, or refused with how to write it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire.errors import MeshError
from worker.memory_option import named, named_text, parse_memory, parse_size, parts

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("60M", 60 << 20),
        ("8G", 8 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("1.5 gb", 3 * GIB // 2),
        ("2000000", 2000000),
        ("2048k", 2 << 20),
        ("2T", 2 << 40),
        ("60000000B", 60000000),
    ],
)
def test_amounts_of_memory_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "G", "-1G", "8X", "8 G B", "1e9", "0.0G", "9999999999T", "NaN", "8GG", "9" * 400]
)
def test_what_is_no_amount_of_memory_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse_size(text)
    assert "8G" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("cuda0=20G,cpu=0", {"cuda0": 20 * GIB, "cpu": 0}),
        (" CPU = 1G , Vulkan1=512M", {"cpu": GIB, "vulkan1": 512 << 20}),
        ("cpu:0=2G,cpu:1=3G", {"cpu:0": 2 * GIB, "cpu:1": 3 * GIB}),
        ("cpu:1=3G,CPU:0=2G,mtl0=8G", {"cpu:0": 2 * GIB, "cpu:1": 3 * GIB, "mtl0": 8 * GIB}),
        ("cpu=2000K", {"cpu": 2000 << 10}),
    ],
)
def test_amounts_for_several_devices_are_read_by_name(text: str, amounts: dict[str, int]) -> None:
    option = parse_memory(text)
    assert isinstance(option, str)
    assert named(option) == amounts
    assert parse_memory(option) == option, "it is passed on to the sidecar, and remembered"


def test_one_amount_stays_a_number() -> None:
    assert parse_memory("8G") == 8 * GIB
    assert parse_memory(str(8 * GIB)) == 8 * GIB


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cuda0=20G,", "'' is not DEVICE=AMOUNT"),
        ("8G,4G", "'8G' is not DEVICE=AMOUNT"),
        ("=8G", "'=8G' is not DEVICE=AMOUNT"),
        ("cuda 0=8G", "'cuda 0=8G' is not DEVICE=AMOUNT"),
        ("cuda0=much", "'much' is no amount of memory"),
        ("cuda0=", "'' is no amount of memory"),
        ("cuda0=-1G", "'-1G' is no amount of memory"),
        ("cuda0=9999999999T", "no amount of memory"),
        ("cuda0=1G,CUDA0=2G", "cuda0 is given twice"),
        ("cpu=1G,cpu:0=2G", "the processor is named whole and in parts"),
        ("cpu:1=2G", "the processor's parts are cpu:1"),
        ("cpu:0=2G,cpu:2=2G", "the processor's parts are cpu:0, cpu:2"),
        ("cpu:0=0,cpu:1=1G", "a part of the processor lends nothing"),
        ("cuda0:0=2G", "the processor alone has parts"),
        ("x" * 25 + "=1G", "is not DEVICE=AMOUNT"),
        (",".join(f"cuda{number}=1G" for number in range(9)), "these are 9 devices"),
        ("much", "no amount of memory"),
        ("8", "'8' is too little: 8 bytes"),
        ("0.5", "'0.5' is too little: 0 bytes"),
        ("cuda0=0.5,cpu=4G", "'0.5' is too little"),
        ("cuda0=20,cpu=0", "'20' is too little: 20 bytes"),
        ("0", "lends nothing"),
        ("", "no amount of memory"),
    ],
)
def test_what_names_no_devices_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(MeshError) as caught:
        parse_memory(text)
    assert why in caught.value.message
    assert caught.value.hint


@given(
    st.dictionaries(
        st.sampled_from(["cuda0", "vulkan1", "mtl0", "cpu"]),
        st.just(0) | st.integers(1 << 20, 1 << 50),
        min_size=1,
    )
)
def test_a_wish_survives_being_written_and_read(wanted: dict[str, int]) -> None:
    assert named(str(parse_memory(named_text(wanted)))) == wanted


@given(st.text(max_size=40))
def test_any_text_is_an_option_or_an_error(text: str) -> None:
    with suppress(MeshError):
        option = parse_memory(text)
        assert option if isinstance(option, int) else named(option)


def test_parts_are_told_in_their_order() -> None:
    assert parts({"cpu:1": 1, "cuda0": 1, "cpu:0": 1}) == ["cpu:0", "cpu:1"]
    assert parts({"cpu": 1}) == []

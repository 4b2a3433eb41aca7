"""The fast decoder of rumours takes and refuses the same values as the shape that it stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.wire import codec
from mesh.wire.codec import MAX_UINT, UINT, fixed, listed, struct
from mesh.wire.errors import DecodeError
from mesh.wire.rumours import KEY8, RUMOUR, Rumour

SHAPE = struct(Rumour, fixed(KEY8), listed(UINT, 3), fixed(4))
NUMBERS = st.integers(-1, MAX_UINT + 1) | st.sampled_from([True, 1.0, None])
PARTS = (
    st.binary(min_size=KEY8 - 1, max_size=KEY8 + 1) | st.text(max_size=KEY8),
    st.lists(NUMBERS, max_size=4) | st.binary(max_size=3),
    st.binary(min_size=3, max_size=5) | st.none(),
)


@given(st.tuples(*PARTS).map(list) | st.lists(NUMBERS, max_size=4) | st.tuples(*PARTS))
def test_it_reads_what_the_shape_reads_and_nothing_else(value: object) -> None:
    try:
        wanted = SHAPE.load(value)
    except DecodeError:
        with pytest.raises(DecodeError):
            RUMOUR.load(value)
    else:
        assert RUMOUR.load(value) == wanted


@given(
    st.binary(min_size=KEY8, max_size=KEY8),
    st.lists(st.integers(0, MAX_UINT), max_size=3),
    st.binary(min_size=4, max_size=4),
)
def test_a_rumour_is_read_as_it_was_written(key: bytes, version: list[int], mark: bytes) -> None:
    rumour = Rumour(key, tuple(version), mark)
    data = codec.pack(RUMOUR.dump(rumour))
    assert RUMOUR.load(codec.unpack(data, len(data))) == rumour == SHAPE.load(codec.unpack(data, len(data)))

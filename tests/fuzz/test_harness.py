"""What an input may cost."""

from collections.abc import Callable, Iterator

import pytest

from tests.fuzz.harness import Bounded, Harness, TooDear, peak_mib, thread_seconds


def harness(seen: list[bytes]) -> Harness:
    return Harness("name", "nothing", lambda: seen.append, lambda: [b"real"], milliseconds=10.0, mib=5)


def clock(*costs: float) -> Callable[[], float]:
    """Seconds by which each input takes that long."""

    def ticks() -> Iterator[float]:
        now = 0.0
        for cost in costs:
            yield now
            now += cost
            yield now

    return ticks().__next__


def test_what_is_made_at_first_use_is_no_inputs_cost() -> None:
    seen: list[bytes] = []
    Bounded(harness(seen), clock(), iter(()).__next__)
    assert seen == [b"", b"real"]


def test_a_cheap_input_passes() -> None:
    seen: list[bytes] = []
    Bounded(harness(seen), clock(0.009), iter((100.0, 104.0)).__next__)(b"cheap")
    assert seen[-1] == b"cheap"


def test_an_input_that_takes_too_long_twice_is_too_dear() -> None:
    with pytest.raises(TooDear, match="4 bytes took 12 ms"):
        Bounded(harness([]), clock(0.020, 0.012), lambda: 100.0)(b"slow")


def test_an_input_that_took_long_once_may_have_been_unlucky() -> None:
    Bounded(harness([]), clock(0.020, 0.001), lambda: 100.0)(b"slow")


def test_an_input_that_takes_much_memory_is_too_dear() -> None:
    with pytest.raises(TooDear, match="3 bytes took 6 MiB"):
        Bounded(harness([]), clock(0.001), iter((100.0, 106.0)).__next__)(b"big")


def test_a_decoders_own_error_goes_through() -> None:
    def decode(data: bytes) -> None:
        if data == b"bad":
            raise KeyError(data)

    with pytest.raises(KeyError):
        Bounded(Harness("name", "nothing", lambda: decode, list))(b"bad")


def test_this_process_has_used_time_and_memory() -> None:
    assert thread_seconds() > 0.0
    assert 1.0 < peak_mib() < 100_000.0

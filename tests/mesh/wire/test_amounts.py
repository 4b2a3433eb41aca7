import pytest

from mesh.wire.amounts import left_text, rate_text, size_text, span_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (612 << 20, "612 MiB"),
        (63 << 20, "63.0 MiB"),
        (1023 << 20, "1.0 GiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_sizes_have_at_most_three_digits_before_a_point(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s left"), (14.2, "14 s left"), (180, "3 min left"), (7200, "2 h left"), (1e30, "999 h left")],
)
def test_times_to_wait_are_told_shortly(seconds: float, text: str) -> None:
    assert left_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(11e6, "11 MB/s"), (1.25e6, "1.2 MB/s"), (600e3, "600 kB/s"), (0, "0.0 kB/s")]
)
def test_rates_are_told_as_those_of_links(rate: float, text: str) -> None:
    assert rate_text(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (59.6, "60 s"), (99, "99 s"), (120, "2 min"), (3600, "60 min"), (7200, "2 h")],
)
def test_lengths_of_time_are_told_in_one_unit(seconds: float, text: str) -> None:
    assert span_text(seconds) == text

"""What is told of a load, whatever the samples say."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from leader.llama.load_progress import MOST, LoadProgress, LoadReport, LoadShare
from leader.model.engine_settings import EngineSettings
from leader.placement.planner import place
from tests.leader.shapes import GIB, MIB, host, model_info, worker

Sample = tuple[float, float, list[int]]


def of(*totals: int, own: int = 0) -> LoadProgress:
    return LoadProgress(own, [LoadShare(f"w{number}", total) for number, total in enumerate(totals)])


@st.composite
def loads(draw: st.DrawFn) -> tuple[int, list[int], list[Sample]]:
    """Own bytes, shares, and samples in which time and counts go on, by any steps, also by none."""
    counts = st.integers(0, 1 << 40)
    own, shares = draw(counts), draw(st.lists(counts, max_size=4))
    now, read, sent = 0.0, 0.0, [0] * len(shares)
    samples: list[Sample] = []
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.floats(0, 20))
        read += draw(st.floats(0, 1))
        sent = [count + draw(st.one_of(st.just(0), counts)) for count in sent]
        samples.append((now, read, sent))
    return own, shares, samples


@given(loads())
def test_what_is_done_never_falls_nor_exceeds_the_total(load: tuple[int, list[int], list[Sample]]) -> None:
    own, shares, samples = load
    progress, before = of(*shares, own=own), 0
    for now, read, sent in samples:
        report = progress.see(now, read, sent)
        assert before <= report.done <= report.total == own + sum(shares)
        assert 0 <= report.fraction <= MOST
        assert report.left is None or report.left >= 0
        assert report.rate >= 0
        assert report.stalled >= 0
        assert len(report.text()) < 120
        before = report.done


@given(loads())
def test_a_slowest_machine_got_bytes_and_has_at_most_half_of_the_next_ones_rate(
    load: tuple[int, list[int], list[Sample]],
) -> None:
    own, shares, samples = load
    progress = of(*shares, own=own)
    for now, read, sent in samples:
        slowest = progress.see(now, read, sent).slowest
        if slowest is not None:
            assert sum(count > 0 for count in sent) >= 2
            assert sent[int(slowest[0][1:])] > 0


def test_bytes_seconds_left_and_rate_are_those_of_the_present_share() -> None:
    progress = of(100 * MIB, 100 * MIB)
    for second in range(6):
        report = progress.see(float(second), 0.0, [second * 10 * MIB, 0])
    assert (report.done, report.rate, report.left) == (50 * MIB, 10 * MIB, 15.0)
    assert report.text() == "50.0 MiB of 200 MiB, 15 s left"


def test_a_machine_that_gets_its_bytes_at_half_the_others_rate_is_named() -> None:
    progress = of(40 * MIB, 40 * MIB)
    for second in range(5):
        first = progress.see(float(second), 0.0, [second * 10 * MIB + 1, 0])
    for second in range(5, 12):
        second_one = progress.see(float(second), 0.0, [40 * MIB, (second - 4) * 2 * MIB])
    assert (first.slowest, second_one.slowest) == (None, ("w1", 2 * MIB))
    assert second_one.text() == "54.0 MiB of 80.0 MiB, 13 s left; w1 is slowest, 2.1 MB/s"


def test_machines_that_are_nearly_as_fast_are_not_named() -> None:
    progress = of(40 * MIB, 40 * MIB)
    for second in range(5):
        progress.see(float(second), 0.0, [second * 10 * MIB + 1, 0])
    for second in range(5, 9):
        report = progress.see(float(second), 0.0, [40 * MIB, (second - 4) * 8 * MIB])
    assert report.slowest is None


def test_a_stall_is_said_with_the_machine_that_waits_for_bytes() -> None:
    progress = of(100 * MIB)
    progress.see(0.0, 0.0, [0])
    progress.see(1.0, 0.0, [10 * MIB])
    assert progress.see(3.0, 0.0, [10 * MIB]).text() == "10.0 MiB of 100 MiB"
    assert progress.see(5.0, 0.0, [10 * MIB]).text() == "10.0 MiB of 100 MiB, no byte for 4 s to w0"


def test_what_a_worker_has_in_its_cache_is_done_once_the_next_one_is_filled() -> None:
    progress = of(100 * MIB, 100 * MIB)
    progress.see(0.0, 0.0, [1 * MIB, 0])
    progress.see(1.0, 0.0, [2 * MIB, 1 * MIB])
    report = progress.see(3.0, 0.0, [2 * MIB, 5 * MIB])
    assert report.done == 105 * MIB
    assert report.rate < 5 * MIB, "what was not sent took no time"


def test_what_is_still_on_its_way_to_a_worker_is_not_done_before_it_is_there() -> None:
    progress = of(100 * MIB, 100 * MIB)
    progress.see(0.0, 0.0, [96 * MIB, 0])
    report = progress.see(0.5, 0.0, [98 * MIB, 1 * MIB])
    assert report.done == 99 * MIB


def test_the_file_is_read_before_the_first_worker_is_filled() -> None:
    progress = of(100 * MIB, own=50 * MIB)
    assert progress.see(0.0, 0.0, [0]).text() == "0 B of 150 MiB"
    assert progress.see(1.0, 0.5, [100]).text() == "25.0 MiB of 150 MiB, 5 s left"
    assert progress.see(2.0, 0.5, [1 * MIB]).done == 51 * MIB, "the cache had the rest of it"


def test_a_load_without_a_byte_to_see_stalls_not() -> None:
    progress = of(own=50 * MIB)
    progress.see(0.0, 0.0, [])
    assert progress.see(9.0, 0.0, []).text() == "0 B of 50.0 MiB"


def test_when_all_is_there_the_rest_is_llama_servers() -> None:
    progress = of(10 * MIB)
    report = progress.see(0.0, 0.0, [11 * MIB])
    assert report.text() == "all 10.0 MiB are there, llama-server starts"
    assert report.fraction == MOST


def test_a_model_of_no_bytes_has_no_share() -> None:
    assert LoadReport(0, 0).fraction == 0.0


def test_a_plans_shares_are_the_weights_of_its_workers_in_its_order() -> None:
    model = model_info(4)
    fixed = {worker(1).key: 2, worker(2).key: 1, host().key: 1}
    plan = place(model, [host(GIB), worker(1, GIB), worker(2, GIB)], EngineSettings(512, 1), fixed)
    text = LoadProgress.of(plan).see(0.0, 0.0, [1 << 50] * 2).text()
    total = LoadProgress.of(plan).see(0.0, 0.0, [0, 0]).total
    assert total == max(model.total_bytes, sum(model.layer_bytes[1:]))
    assert re.match(r"all .* are there", text)


def test_devices_that_one_rpc_server_serves_are_one_share_and_others_are_apart() -> None:
    whole = place(model_info(8), [host(GIB)], EngineSettings(512, 1))
    stages = [
        replace(whole.stages[0], device=replace(device, device=name), first=first, layers=2, head=False)
        for first, (device, name) in enumerate([(worker(1), "CUDA0"), (worker(2), ""), (worker(1), "CPU")])
    ]
    plan = replace(whole, stages=tuple(stages))
    apart = LoadProgress.of(plan).see(0.0, 1.0, [16 * MIB, 16 * MIB, 8 * MIB])
    joined = LoadProgress.of(replace(plan, joined=frozenset({worker(1).member})))
    together = joined.see(0.0, 1.0, [24 * MIB, 0])
    assert (apart.waits_for, apart.total - apart.done) == ("w1", 8 * MIB)
    assert (together.waits_for, together.total - together.done) == ("w1", 24 * MIB)

"""The formulas of memory and time, number by number; the planner's tests rest on them."""

from dataclasses import replace

import pytest

from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import CACHE_GRAIN, UBATCH
from leader.placement.cost import (
    COMPUTE_MARGIN,
    HOST_MARGIN,
    WORKER_MARGIN,
    assumed_layer_seconds,
    checkpoints,
    compute_bytes,
    demand,
    entry_seconds,
    head_extra_seconds,
    head_seconds,
    layers_before,
)
from mesh.engine.backends.backend_table import kind_named
from tests.leader.shapes import MIB, full, host, model_info, worker

MODEL = model_info()
WANTS = demand(MODEL, EngineSettings(512, 2), batch=3)
UNEVEN = replace(MODEL, layer_bytes=(MIB, 9 * MIB, 0), caches=(full(256, 256), full(1024, 1024), full()))


def test_a_context_is_rounded_up_to_the_grain_of_the_engines_cache() -> None:
    rounded = demand(MODEL, EngineSettings(257, 2), 3)
    assert rounded == WANTS
    assert demand(MODEL, EngineSettings(256, 2), 3).layers[0] == 8 * MIB + 2048 * CACHE_GRAIN * 2


def test_every_layer_counts_as_it_is() -> None:
    wants = demand(UNEVEN, EngineSettings(256, 1), 1)
    assert wants.layers == (MIB + 1024 * 256, 9 * MIB + 4096 * 256, 0)
    device = worker(1)
    assert wants.needed(device, 1, 2, head=False) == wants.overhead(device) + 10 * MIB
    for first in range(4):
        for room, fit in ((-1, -1), (0, (0, 0, 1, 0)[first]), (10 * MIB, (1, 2, 1, 0)[first])):
            offered = replace(device, memory_offered=wants.overhead(device) + room)
            assert wants.capacity(offered, head=False, first=first) == fit


def test_a_layer_takes_as_much_less_time_as_its_weights_are_smaller() -> None:
    assert layers_before(UNEVEN) == pytest.approx((0.0, 1 / 9, 10 / 9, 10 / 9))
    assert layers_before(MODEL) == tuple(range(MODEL.n_layers + 1))


def test_work_is_the_larger_of_compute_buffer_and_largest_tensor() -> None:
    compute = compute_bytes(MODEL, EngineSettings(512, 1), overlap=False)
    assert compute == UBATCH * (4 * (3 * 768 + 4 * 512) + 2 * 512) + COMPUTE_MARGIN
    assert demand(MODEL, EngineSettings(512, 1), 1).work == compute
    assert demand(replace(MODEL, largest_tensor=compute + 1), EngineSettings(512, 1), 1).work == compute + 1


def test_ubatches_that_overlap_have_a_graphs_inputs_four_times() -> None:
    settings = EngineSettings(32768, 1)
    inputs = UBATCH * (4 * 512 + 2 * 32768)
    assert demand(MODEL, settings, 1, overlap=True).overlap == 3 * inputs
    assert demand(MODEL, settings, 1).overlap == 0
    windowed = replace(MODEL, caches=(full(512, window=512), full(512)) * 4)
    assert compute_bytes(windowed, settings) - compute_bytes(MODEL, settings) == 4 * UBATCH * 2 * 1024


def test_the_leaders_cpu_keeps_copies_of_slots_to_go_back_to() -> None:
    windowed = replace(MODEL, caches=(full(512, 512, window=512), full(512, 512)) * 4)
    settings = EngineSettings(8192, 2)
    each = windowed.checkpoint_bytes(settings)
    assert each == 4 * 2048 * 1024
    assert checkpoints(windowed, settings) == 9
    assert demand(windowed, settings, 1).embedding == MODEL.embedding_bytes + 9 * each * 2


def test_a_head_beyond_the_compute_buffer_is_there_twice_while_it_is_loaded() -> None:
    compute = compute_bytes(MODEL, EngineSettings(512, 2), overlap=False)
    logits = 4 * MODEL.n_vocab * 2
    assert WANTS.head == MODEL.head_bytes + logits
    large = replace(MODEL, head_bytes=compute + 5)
    assert demand(large, EngineSettings(512, 2), 1).head == compute + 5 + 5 + logits


def test_the_leaders_cpu_alone_also_keeps_the_embedding() -> None:
    assert WANTS.overhead(host()) == WANTS.work + HOST_MARGIN + MODEL.embedding_bytes
    assert WANTS.overhead(worker(1)) == WANTS.work + WANTS.overlap + WORKER_MARGIN
    accelerator = replace(host(), accelerator="CUDA0")
    assert WANTS.overhead(accelerator) == WANTS.work + WANTS.overlap + WORKER_MARGIN


@pytest.mark.parametrize("head", [False, True])
def test_what_fits_needs_no_more_than_is_offered_and_one_layer_more_would(head: bool) -> None:
    for memory in range(0, 120, 7):
        device = worker(1, memory=memory * MIB)
        layers = WANTS.capacity(device, head)
        if layers >= 0:
            assert WANTS.needed(device, 0, layers, head) <= device.memory_offered
        if layers < WANTS.n_layers:
            assert WANTS.needed(device, 0, layers + 1, head) > device.memory_offered


def test_no_more_layers_fit_than_the_model_has() -> None:
    assert WANTS.capacity(worker(1, memory=10**12), head=True) == MODEL.n_layers


def test_a_remote_device_costs_its_round_trip_and_the_activations_both_ways() -> None:
    away = worker(1, rtt=0.01, up=1e6, down=2e6)
    sent = 3 * 4 * MODEL.n_embd
    assert entry_seconds(WANTS, away) == pytest.approx(0.01 + sent / 1e6 + sent / 2e6)
    assert entry_seconds(WANTS, host()) == 0.0


def test_the_heads_device_sends_logits_instead_of_activations() -> None:
    away = worker(1, down=1e6)
    streamed = head_seconds(MODEL, away)
    assert streamed == pytest.approx(away.layer_seconds * MODEL.head_bytes / (8 * MIB))
    instead = 3 * 4 * (MODEL.n_vocab - MODEL.n_embd)
    assert head_extra_seconds(MODEL, WANTS, away) == pytest.approx(streamed + instead / 1e6)
    assert head_extra_seconds(MODEL, WANTS, host()) == head_seconds(MODEL, host())


def test_an_unmeasured_layer_takes_its_bytes_over_the_kinds_bandwidth() -> None:
    cuda, cpu = (assumed_layer_seconds(MODEL, kind) for kind in ("cuda", "cpu"))
    assert cuda == 8 * MIB / kind_named("cuda").bandwidth < cpu
    assert assumed_layer_seconds(MODEL, "not heard of") == cpu


def test_a_projector_lies_with_the_host_and_long_texts_for_vectors_take_more_work() -> None:
    plain = demand(MODEL, EngineSettings(2048, 1), 1)
    sees = demand(MODEL, EngineSettings(2048, 1, projector=77), 1)
    assert sees == replace(plain, embedding=plain.embedding + 77)
    whole = demand(replace(MODEL, pooling="mean"), EngineSettings(2048, 1, embeddings=True), 1)
    pieces = demand(replace(MODEL, pooling="last"), EngineSettings(2048, 1, embeddings=True), 1)
    assert pieces == plain
    once = compute_bytes(MODEL, EngineSettings(2048), overlap=False)
    assert whole.work - COMPUTE_MARGIN == 4 * (once - COMPUTE_MARGIN)

"""What is lent of a machine's devices: most of what is free, or what was said, and no memory twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.engine.devices import EngineDevice
from mesh.wire.errors import MeshError
from mesh.wire.profile import MAX_DEVICES
from worker.hardware import MachineMemory
from worker.memory_option import MemoryOption, parse_memory
from worker.offers import GPU_NEEDS, LEAST, Offers, offers

GIB = 1 << 30
MEMORY = MachineMemory(total=64 * GIB, available=50 * GIB)
CPU = EngineDevice("CPU", "cpu", "EPYC", 64 * GIB, 64 * GIB)
CUDA0 = EngineDevice("CUDA0", "cuda", "L4", 24 * GIB, 22 * GIB)
CUDA1 = EngineDevice("CUDA1", "cuda", "L4", 24 * GIB, 10 * GIB)
METAL = EngineDevice("MTL0", "metal", "M2", 48 * GIB, 48 * GIB, unified=True)


def lent(
    devices: list[EngineDevice], option: str | None = None, memory: MachineMemory = MEMORY
) -> dict[str, int]:
    wish: MemoryOption | None = None if option is None else parse_memory(option)
    return {one.name: one.offered for one in offers(devices, memory, wish).lent}


def refused(devices: list[EngineDevice], option: str, memory: MachineMemory = MEMORY) -> MeshError:
    with pytest.raises(MeshError) as caught:
        offers(devices, memory, parse_memory(option))
    assert caught.value.hint
    return caught.value


def test_a_processor_lends_most_of_what_is_free() -> None:
    assert lent([CPU]) == {"CPU": 40 * GIB}


def test_a_gpu_lends_its_own_memory_and_the_processor_what_gpus_do_not_need() -> None:
    found = offers([CPU, CUDA0], MEMORY, None)
    assert [(one.name, one.device, one.kind) for one in found.lent] == [
        ("CUDA0", "CUDA0", "cuda"),
        ("CPU", "CPU", "cpu"),
    ]
    gpu, processor = found.lent
    assert 20 * GIB < gpu.offered < 22 * GIB
    assert (gpu.total, gpu.free, processor.total, processor.free) == (24 * GIB, 22 * GIB, 64 * GIB, None)
    assert processor.offered == 40 * GIB - GPU_NEEDS
    assert found.notes == ("1.0 GiB of RAM stays for CUDA0: drivers, and weights on their way",)


def test_each_gpu_lends_by_what_is_free_on_it() -> None:
    amounts = lent([CUDA0, CUDA1, CPU])
    assert amounts["CUDA1"] < 10 * GIB < amounts["CUDA0"]
    assert amounts["CPU"] == 40 * GIB - 2 * GPU_NEEDS


def test_memory_that_a_gpu_shares_with_the_processor_is_lent_once() -> None:
    found = offers([METAL, CPU], MEMORY, None)
    assert {one.name: one.offered for one in found.lent} == {"MTL0": 40 * GIB}
    assert found.notes == ("CPU lends nothing: its memory is MTL0's too, and lent there",)
    small = EngineDevice("Vulkan0", "vulkan", "Iris", 16 * GIB, 16 * GIB, unified=True)
    amounts = lent([small, CPU])
    assert amounts["Vulkan0"] < 16 * GIB
    assert sum(amounts.values()) == 40 * GIB


def test_one_amount_is_for_a_machine_of_one_memory() -> None:
    assert lent([CPU], "8G") == {"CPU": 8 * GIB}
    assert lent([METAL, CPU], "8G") == {"MTL0": 8 * GIB}
    assert lent([METAL, CPU], "50G") == {"MTL0": 48 * GIB, "CPU": 2 * GIB}
    assert lent([METAL, CPU], str(48 * GIB + 1)) == {"MTL0": 48 * GIB}
    error = refused([CUDA0, CPU], "8G")
    assert error.message == "this machine has several devices: CUDA0 (24.0 GiB), CPU (64.0 GiB)"
    assert error.hint == "say how much of each: --memory cuda0=20G,cpu=39G; 0 lends nothing of one"
    assert lent([CUDA0, CPU], "cuda0=20G,cpu=39G") == {"CUDA0": 20 * GIB, "CPU": 39 * GIB}


def test_devices_are_named_in_any_case_and_others_lend_as_without_a_word() -> None:
    assert lent([CUDA0, CUDA1, CPU], "Cuda0=20G,cpu=0") == {
        "CUDA0": 20 * GIB,
        "CUDA1": lent([CUDA0, CUDA1, CPU])["CUDA1"],
    }
    assert lent([CUDA0, CPU], "cuda0=0") == {"CPU": 40 * GIB}, "a GPU that is not used needs no RAM"
    assert lent([METAL, CPU], "cpu=8G") == {"MTL0": 32 * GIB, "CPU": 8 * GIB}


def test_the_processor_is_divided_into_devices_of_its_own() -> None:
    found = offers([CPU], MEMORY, parse_memory("cpu:0=2G,cpu:1=3G")).lent
    assert [(one.name, one.device, one.kind, one.offered) for one in found] == [
        ("cpu:0", "CPU", "cpu", 2 * GIB),
        ("cpu:1", "CPU", "cpu", 3 * GIB),
    ]


@pytest.mark.parametrize(
    ("devices", "option", "message"),
    [
        ([CPU], "500G", "--memory offers 500 GiB, and this machine has 64.0 GiB"),
        ([CPU], "cuda0=1G", "--memory names cuda0, and there is no such device here"),
        ([CUDA0, CPU], "cuda0=25G", "--memory offers 25.0 GiB, and CUDA0 has 24.0 GiB"),
        ([CUDA0, CPU], "cpu=65G", "--memory offers 65.0 GiB, and CPU has 64.0 GiB"),
        ([CUDA0, CPU], "cuda1=1G", "--memory names cuda1, and there is no such device here"),
        ([METAL, CPU], "65G", "--memory offers 65.0 GiB, and this machine has 64.0 GiB"),
        ([METAL, CPU], "500G", "--memory offers 500 GiB, and this machine has 64.0 GiB"),
        ([METAL, CPU], "mtl0=49G", "--memory offers 49.0 GiB, and MTL0 has 48.0 GiB"),
        ([METAL, CPU], "mtl0=40G,cpu=40G", "--memory offers 80.0 GiB, and this machine has 64.0 GiB"),
        ([CPU], "cpu:0=40G,cpu:1=40G", "--memory offers 80.0 GiB, and this machine has 64.0 GiB"),
        ([METAL], "cpu:0=1G", "--memory names cpu:0, and there is no such device here"),
    ],
)
def test_more_than_there_is_is_refused_with_what_there_is(
    devices: list[EngineDevice], option: str, message: str
) -> None:
    assert refused(devices, option).message == message


def test_what_a_person_wrote_into_the_file_of_options_is_an_error_in_words() -> None:
    for option in ("nonsense", "cpu=", -5):
        with pytest.raises(MeshError):
            offers([CPU], MEMORY, option)


def test_limits_of_a_container_count_though_the_engine_knows_none() -> None:
    within = MachineMemory(total=4 * GIB, available=2 * GIB)
    assert refused([CPU], "5G", within).message == "--memory offers 5.0 GiB, and this machine has 4.0 GiB"
    assert lent([CPU], None, within)["CPU"] < 2 * GIB


def test_a_card_with_managed_memory_may_be_lent_beyond_its_own() -> None:
    managed = EngineDevice("CUDA0", "cuda", "L4", 24 * GIB, 50 * GIB, unified=True)
    assert lent([managed, CPU])["CUDA0"] < 24 * GIB
    assert lent([managed, CPU], "cuda0=45G,cpu=0") == {"CUDA0": 45 * GIB}
    assert refused([managed, CPU], "cuda0=51G").message.endswith("CUDA0 has 50.0 GiB")


def test_a_record_has_room_for_so_many_devices_and_the_rest_is_said() -> None:
    cards = [EngineDevice(f"CUDA{number}", "cuda", "L4", 24 * GIB, 22 * GIB) for number in range(MAX_DEVICES)]
    found = offers([*cards, CPU], MEMORY, None)
    assert len(found.lent) == MAX_DEVICES
    assert found.notes[-1] == f"CPU lends nothing: a machine lends {MAX_DEVICES} devices"


def test_what_is_full_lends_nothing_and_says_so() -> None:
    full = EngineDevice("CUDA0", "cuda", "L4", 24 * GIB, LEAST // 2)
    found = offers([full, CPU], MEMORY, None)
    assert [one.name for one in found.lent] == ["CPU"]
    assert "CUDA0 lends nothing: too little of its memory is free" in found.notes


DEVICES = st.lists(
    st.builds(
        EngineDevice,
        st.sampled_from(["CUDA0", "CUDA1", "Vulkan0", "MTL0"]),
        st.sampled_from(["cuda", "vulkan"]),
        st.just("card"),
        st.integers(0, 100 * GIB),
        st.integers(0, 100 * GIB),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda device: device.name,
)


@given(DEVICES, st.integers(0, 64 * GIB), st.none() | st.dictionaries(
    st.sampled_from(["cuda0", "vulkan0", "mtl0", "cpu", "cpu:0"]), st.integers(0, 80 * GIB), min_size=1
))  # fmt: skip
def test_no_memory_is_lent_twice_nor_more_than_there_is(
    gpus: list[EngineDevice], available: int, wanted: dict[str, int] | None
) -> None:
    devices, memory = [*gpus, CPU], MachineMemory(64 * GIB, available)
    option = None if wanted is None else ",".join(f"{name}={size}" for name, size in wanted.items())
    try:
        found: Offers = offers(devices, memory, None if option is None else parse_memory(option))
    except MeshError:
        if option is None:
            raise  # there is nothing to refuse
        return
    by_name = {device.name: device for device in devices}
    of_machine = 0
    for one in found.lent:
        device = by_name[one.device]
        assert one.offered > 0
        if device.is_processor or device.unified:
            of_machine += one.offered
        else:
            assert one.offered <= device.total
    assert of_machine <= memory.total
    if option is None:
        assert of_machine <= memory.available

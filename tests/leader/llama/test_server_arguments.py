"""llama-server's command line says exactly what the plan says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from leader.llama.server_arguments import arguments, environment
from leader.model.engine_settings import EngineSettings
from leader.model.layer_caches import LayerCache
from leader.placement.cost import Device
from leader.placement.planner import Plan, place
from leader.placement.rpc_groups import RpcGroup
from tests.leader.shapes import GIB, MIB, host, model_info, worker

ENDPOINTS = {RpcGroup(worker(n).member, ("",)): f"127.0.0.1:{1000 + n}" for n in range(1, 4)}


def value(argv: list[str], option: str) -> str:
    assert argv.count(option) == 1
    return argv[argv.index(option) + 1]


def test_a_pipeline_names_its_workers_in_order_with_exact_counts() -> None:
    fixed = {host().key: 2, worker(1).key: 1, worker(2).key: 5}
    plan = place(
        model_info(8),
        [host(), worker(1, rtt=0.002), worker(2, memory=GIB, rtt=0.001)],
        EngineSettings(512, 2),
        fixed,
    )
    argv = arguments(plan, ENDPOINTS, "127.0.0.1", 4321)
    order = [stage.device.name for stage in plan.stages]
    assert order[0] == "host"
    assert value(argv, "--rpc") == ",".join(f"127.0.0.1:100{name[1]}" for name in order[1:])
    assert value(argv, "--device") == "RPC0,RPC1"
    counts = [stage.layers for stage in plan.stages[1:]]
    counts[-1] += 1
    assert value(argv, "-ts") == ",".join(map(str, counts))
    assert value(argv, "-ngl") == "7"
    assert value(argv, "-c") == "1024"
    assert value(argv, "-np") == "2"
    assert (value(argv, "-fit"), value(argv, "-cram")) == ("off", "0")
    assert (value(argv, "--host"), value(argv, "--port")) == ("127.0.0.1", "4321")


def test_what_it_is_called_and_where_its_slots_are_saved_is_said_when_known() -> None:
    plan = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 1))
    assert value(arguments(plan, {}, "127.0.0.1", 1), "--alias") == "toy"
    assert "--slot-save-path" not in arguments(plan, {}, "127.0.0.1", 1)
    argv = arguments(plan, {}, "127.0.0.1", 1, Path("/state/slots"), "file.gguf")
    assert value(argv, "--alias") == "file.gguf"
    assert value(argv, "--slot-save-path") == "/state/slots/"


def test_threads_are_said_for_single_tokens_and_for_batches() -> None:
    plan = place(model_info(8), [host(memory=GIB)], EngineSettings(512, 1))
    argv = arguments(plan, {}, "127.0.0.1", 1, threads=3)
    assert (value(argv, "-t"), value(argv, "-tb")) == ("3", "3")
    assert "-t" not in arguments(plan, {}, "127.0.0.1", 1)


def test_a_model_on_the_leaders_cpu_alone_uses_no_device() -> None:
    argv = arguments(place(model_info(8), [host(memory=GIB)], EngineSettings(512, 1)), {}, "127.0.0.1", 1)
    assert value(argv, "--device") == "none"
    assert "--rpc" not in argv
    assert "-ts" not in argv


def test_a_head_that_stays_with_the_leader_is_named_by_its_tensor() -> None:
    devices = [host(memory=70 * MIB, seconds=0.01), worker(1, memory=GIB, down=1e5)]
    model = replace(model_info(8), n_vocab=100_000)
    plan = place(model, devices, EngineSettings(512, 1))
    assert plan.stages[0].head
    assert value(arguments(plan, ENDPOINTS, "127.0.0.1", 1), "-ot") == r"^output\.weight$=CPU"
    tied = place(replace(model, tied=True), devices, EngineSettings(512, 1))
    assert value(arguments(tied, ENDPOINTS, "127.0.0.1", 1), "-ot") == r"^token_embd\.weight$=CPU"


def test_the_leaders_accelerator_is_a_device_among_the_workers() -> None:
    gpu = Device(b"\xff" * 16, "me", GIB, 0.0001, local=True, accelerator="CUDA0")
    plan = place(model_info(8), [gpu, worker(1)], EngineSettings(512, 1), {worker(1).key: 3})
    argv = arguments(plan, ENDPOINTS, "127.0.0.1", 1)
    assert value(argv, "--device") in ("CUDA0,RPC0", "RPC0,CUDA0")
    assert value(argv, "-ngl") == "9"
    alone = arguments(place(model_info(8), [gpu], EngineSettings(512, 1)), {}, "127.0.0.1", 1)
    assert value(alone, "--device") == "CUDA0"
    assert "--rpc" not in alone


def test_variables_that_hold_options_or_secrets_are_not_inherited() -> None:
    made = environment(
        {"PATH": "/bin", "LLAMA_ARG_CTX_SIZE": "9", "MESH_TOKEN": "secret", "OMP_WAIT_POLICY": "active"}
    )
    assert made == {"PATH": "/bin", "GGML_NO_BACKTRACE": "1", "OMP_WAIT_POLICY": "passive"}


def said_of(settings: EngineSettings, **changes: Any) -> list[str]:
    model = replace(model_info(8), **changes)
    return arguments(place(model, [host(memory=GIB)], settings), {}, "127.0.0.1", 1)


def test_pictures_are_read_on_the_leaders_processor() -> None:
    argv = said_of(EngineSettings(512), projector=Path("/models/mmproj.gguf"))
    assert value(argv, "--mmproj") == "/models/mmproj.gguf"
    assert "--no-mmproj-offload" in argv
    assert "--mmproj" not in said_of(EngineSettings(512))


def test_a_packed_context_takes_flash_attention_where_there_is_a_context() -> None:
    argv = said_of(EngineSettings(512, kv="q4_0"))
    assert (value(argv, "-ctk"), value(argv, "-ctv"), value(argv, "-fa")) == ("q4_0", "q4_0", "on")
    assert "-ctk" not in said_of(EngineSettings(512))
    assert "-ctk" not in said_of(EngineSettings(512, kv="q4_0", embeddings=True), caches=(LayerCache(),) * 8)


def test_vectors_and_ranks_are_said_as_the_file_makes_them() -> None:
    argv = said_of(EngineSettings(2048, embeddings=True), pooling="cls", causal=False)
    assert (value(argv, "--pooling"), value(argv, "-b"), value(argv, "-ub")) == ("cls", "2048", "2048")
    assert "--embeddings" in argv
    argv = said_of(EngineSettings(2048, embeddings=True), pooling="rank")
    assert "--reranking" in argv
    assert "--embeddings" not in argv
    assert not {"--embeddings", "--reranking", "-ub"} & set(said_of(EngineSettings(512)))


def test_devices_are_numbered_through_all_endpoints_in_their_order() -> None:
    """The first machine's two devices stand behind one endpoint; another one's is between them."""
    devices = [
        replace(worker(1), device="CUDA0"),
        worker(2),
        replace(worker(1), device="CUDA1"),
        Device(b"\xff" * 16, "me", GIB, 0.0001, local=True, accelerator="Vulkan0", device="Vulkan0"),
    ]
    alone = place(model_info(8), [worker(1, GIB)], EngineSettings(512))
    counts = (3, 2, 2, 1)
    stages = [
        replace(alone.stages[0], device=device, layers=layers, head=device is devices[-1])
        for device, layers in zip(devices, counts, strict=True)
    ]
    apart = replace(alone, stages=tuple(stages), overlap=True)
    for plan, names in (
        (apart, "RPC0,RPC1,RPC2,Vulkan0"),
        (replace(apart, joined=frozenset({devices[0].member})), "RPC0,RPC2,RPC1,Vulkan0"),
    ):
        argv = arguments(plan, {server: f"e{n}" for n, server in enumerate(plan.servers)}, "h", 1)
        assert value(argv, "--rpc") == ",".join(f"e{n}" for n in range(len(plan.servers)))
        assert value(argv, "--device") == names
        assert (value(argv, "-ts"), value(argv, "-ngl")) == ("3,2,2,2", "9")
        assert "-ot" not in argv


def test_batches_overlap_only_where_the_plan_has_memory_for_them() -> None:
    needed = place(model_info(8), [worker(1), worker(2)], EngineSettings(512), {worker(1).key: 4})
    assert needed.overlap
    tight = [replace(stage.device, memory_offered=stage.bytes - 1) for stage in needed.stages]
    plan = place(model_info(8), tight, EngineSettings(512), {worker(1).key: 4})
    assert not plan.overlap
    assert value(arguments(plan, ends(plan), "127.0.0.1", 1), "-ot") == "^none$=CPU"
    assert "-ot" not in arguments(needed, ends(needed), "127.0.0.1", 1)
    with_host = place(model_info(8), [host(), *tight], EngineSettings(512), {host().key: 2, worker(1).key: 3})
    assert "-ot" not in arguments(with_host, ends(with_host), "127.0.0.1", 1)


def ends(plan: Plan) -> dict[RpcGroup, str]:
    """An end of a tunnel for each rpc-server of the plan."""
    return {server: f"e{number}" for number, server in enumerate(plan.servers)}


def test_the_engine_gets_no_more_devices_than_it_takes() -> None:
    devices = [replace(worker(n // 2, 45 * MIB), device=f"CUDA{n % 2}") for n in range(2, 42)]
    plan = place(model_info(20), devices, EngineSettings(512))
    argv = arguments(plan, dict.fromkeys(plan.servers, "e"), "h", 1)
    names = value(argv, "--device").split(",")
    assert len(names) == len(set(names)) == len(value(argv, "-ts").split(",")) <= 15

"""Why an engine's program ended is said by one line of its log, whichever way it met the end."""

from itertools import permutations

import pytest

from mesh.engine.process.exit_reason import telling_line

ABORT = "/home/anna/source/ggml/src/ggml-rpc/ggml-rpc.cpp:569: Remote RPC server crashed or returned nonsense"
SEND = "0.01.204.552 E send failed (bytes_sent=0, size_to_send=8)"
RECV = "recv failed (bytes_recv=0, size_to_recv=8)"
EARLIER = "0.00.911.100 E srv  send_error: task id = 1, error: the request exceeds the context size"
LAST = "0.01.204.900 I srv    operator(): operator(): cleaning up before exit..."


@pytest.mark.parametrize("lines", list(permutations((ABORT, SEND, RECV, LAST))))
def test_the_line_of_an_abort_comes_before_how_it_was_met(lines: tuple[str, ...]) -> None:
    wanted = "ggml-rpc.cpp:569: Remote RPC server crashed or returned nonsense"
    assert telling_line((EARLIER, *lines)) == wanted


def test_an_abort_within_a_line_that_another_thread_had_begun_is_found() -> None:
    assert telling_line([SEND, f"0.01.204.553 E {ABORT}"]).startswith("ggml-rpc.cpp:569: Remote")
    assert telling_line([f"0.01.204.553 {ABORT}", "E send failed"]).startswith("ggml-rpc.cpp:569: Remote")


def test_a_line_that_says_the_same_as_an_abort_and_more_is_preferred() -> None:
    lines = ["CUDA error: out of memory", "  current device: 0, in function f at ggml-cuda.cu:120"]
    assert telling_line([*lines, "/src/ggml-cuda.cu:97: CUDA error"]).endswith(": CUDA error: out of memory")


def test_a_failed_assertion_is_told_with_its_place() -> None:
    line = "/src/ggml/src/ggml-backend.cpp:1234: GGML_ASSERT(n < 16) failed"
    wanted = "a check within the engine failed: ggml-backend.cpp:1234: GGML_ASSERT(n < 16) failed"
    assert telling_line([LAST, line]) == wanted


def test_without_an_abort_the_first_failure_is_told() -> None:
    lines = [
        "0.00.005.186 I srv    load_model: loading model 'x.gguf'",
        "0.00.005.525 E llama_model_load: error loading model: illegal split file idx: 1",
        "0.00.005.552 E llama_model_load_from_file_impl: failed to load model",
        "0.00.005.590 I srv    operator(): cleaning up before exit...",
    ]
    assert telling_line(lines) == "llama_model_load: error loading model: illegal split file idx: 1"
    assert telling_line([SEND, *lines]) == "llama_model_load: error loading model: illegal split file idx: 1"


def test_how_it_was_met_is_better_than_nothing() -> None:
    assert telling_line(["all is well", SEND, LAST]) == "send failed (bytes_sent=0, size_to_send=8)"


def test_without_any_failure_the_last_line_is_told() -> None:
    assert telling_line(["quietly gone", ""]) == "quietly gone"
    assert telling_line([]) == ""


def test_what_rpc_server_says_at_its_start_and_of_clients_is_no_reason() -> None:
    routine = [
        "Starting RPC server v7.0.0",
        "  endpoint       : 127.0.0.1:8080",
        "  local cache    : n/a",
        "Devices:",
        "  CPU: AMD EPYC (24105 MiB, 24105 MiB free)",
        "  transport      : TCP",
        "Accepted client connection",
        "Client connection closed",
    ]
    assert telling_line(routine) == ""
    assert telling_line(["quietly gone", *routine]) == "quietly gone"


def test_a_long_line_is_cut() -> None:
    assert len(telling_line(["error " * 100])) == 300
    assert len(telling_line([f"/src/a.cpp:1: {'x' * 400}"])) == 300


def test_the_folders_of_a_model_are_not_told() -> None:
    line = "E gguf_init_from_file: failed to open GGUF file '/home/anna/my models/big.gguf' (No such file)"
    assert "failed to open GGUF file 'big.gguf' (No" in telling_line([line])
    assert telling_line(["error: /home/anna/big.gguf is no model"]) == "error: big.gguf is no model"


LACKING = "its backend lacks an operation of this model"
NO_MEMORY = "memory that was counted on was not there"


@pytest.mark.parametrize(
    ("meaning", "line"),
    [
        (LACKING, "ggml_metal_op_encode_impl: error: unsupported op 'SSM_SCAN'"),
        (LACKING, "ggml_cuda_compute_forward: error: op not supported node_12 (FLASH_ATTN_EXT)"),
        (LACKING, "ggml-cann.cpp:1062: ggml op not implemented: SSM_CONV"),
        (NO_MEMORY, "ggml_backend_cuda: allocating 900.00 MiB on device 0: cudaMalloc failed: out of memory"),
        (NO_MEMORY, "ggml_vulkan: Device memory allocation of size 1073741824 failed."),
        (NO_MEMORY, "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory"),
        (NO_MEMORY, "ggml_metal_buffer_init: error: failed to allocate buffer, size =  8192.00 MiB"),
        (NO_MEMORY, "llama_model_load: error loading model: unable to allocate RPC1[127.0.0.1:9] buffer"),
        (NO_MEMORY, "terminate called after throwing an instance of 'std::bad_alloc'"),
    ],
)
def test_what_a_backend_cannot_do_or_hold_is_said_in_words(meaning: str, line: str) -> None:
    wanted = f"{meaning}: {line}"
    assert telling_line([line, LAST]) == wanted
    assert telling_line([EARLIER, line, "E llama_model_load_from_file_impl: failed to load model"]) == wanted


def test_the_word_op_within_another_word_has_no_such_meaning() -> None:
    assert telling_line(["error: the option is not supported"]) == "error: the option is not supported"


@pytest.mark.parametrize(
    "unit",
    [
        "/",
        "a.c",
        "a.c/",
        "a.c:1",
        "a.c:1: ",
        "op ",
        "alloc",
        "not supported op ",
        "'/a",
        "'/",
        "x",
        "\x1b[2J",
    ],
)
def test_a_line_of_a_million_characters_is_told_as_any_other(unit: str) -> None:
    """A request's text may be in a log, and what a worker says is its own choice: else this takes hours."""
    line = unit * (1_000_000 // len(unit))
    assert len(telling_line([line] * 20)) <= 300

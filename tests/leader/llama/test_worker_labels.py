"""Whose memory was not there, by the engine's log; its labels are told as names."""

import pytest

from leader.llama.worker_labels import refused_memory, with_names
from leader.placement.rpc_groups import RpcGroup

ANNA, BERT = RpcGroup(b"a" * 16, ("CPU",)), RpcGroup(b"b" * 16, ("CUDA0", "CPU"))
ENDPOINTS = {ANNA: "127.0.0.1:20001", BERT: "127.0.0.1:20002"}
NAMES = {(b"a" * 16, "CPU"): "anna", (b"b" * 16, "CUDA0"): "bert/CUDA0", (b"b" * 16, "CPU"): "bert/CPU"}
PLANNED = dict.fromkeys(NAMES, 7481376)
BERTS = RpcGroup(BERT.member, ("CPU",))
FAILED = "alloc_tensor_range: failed to allocate RPC0[127.0.0.1:20001] buffer of size 7481376"
UNABLE = "llama_model_load: error loading model: unable to allocate RPC1[127.0.0.1:20002] buffer"


@pytest.mark.parametrize(
    ("lines", "server"),
    [
        ([FAILED], ANNA),
        ([f"0.01.234.567 E {UNABLE}", "main: exiting due to model loading error"], BERTS),
        ([FAILED, UNABLE], BERTS),
        ([UNABLE.replace("RPC1", "RPC2")], None),
        ([FAILED.replace("20001", "20003")], None),
        (["alloc_tensor_range: failed to allocate CPU buffer of size 7481376"], None),
        (["RPC0[127.0.0.1:20001] model buffer size = 12 MiB"], None),
        ([], None),
    ],
)
def test_the_device_that_llama_server_got_no_memory_on_is_named(
    lines: list[str], server: RpcGroup | None
) -> None:
    assert refused_memory(lines, ENDPOINTS, PLANNED) == server


def test_a_refusal_after_which_it_goes_on_names_nobody() -> None:
    retries = "sched_reserve: compute buffer allocation failed, retrying without pipeline parallelism"
    assert refused_memory([FAILED, retries, "the disk is gone"], ENDPOINTS, PLANNED) is None
    assert refused_memory([FAILED, retries, UNABLE], ENDPOINTS, PLANNED) == BERTS


def test_who_is_asked_for_more_than_was_planned_is_not_named() -> None:
    lines = [FAILED, UNABLE.replace("RPC1", "RPC0").replace("20002", "20001")]
    assert refused_memory(lines, ENDPOINTS, PLANNED) == ANNA
    assert refused_memory(lines, ENDPOINTS, {**PLANNED, ANNA.keys[0]: 7481375}) is None


@pytest.mark.parametrize(
    "line",
    [
        "llama_model_loader: - kv   1:  general.name str  = failed to allocate RPC0[127.0.0.1:20001] buffer",
        f"lost mallory: the worker's gate refused: {FAILED}",
        f"{FAILED}, says mallory",
    ],
)
def test_the_words_of_a_file_or_a_member_within_a_line_blame_nobody(line: str) -> None:
    assert refused_memory([line], ENDPOINTS, PLANNED) is None


def test_labels_are_told_as_the_members_are_called() -> None:
    told = "unable to allocate RPC0[127.0.0.1:20001] buffer; RPC1[127.0.0.1:20002], RPC9[127.0.0.1:1]"
    assert with_names(told, ENDPOINTS, NAMES) == (
        "unable to allocate anna buffer; bert/CPU, RPC9[127.0.0.1:1]"
    )

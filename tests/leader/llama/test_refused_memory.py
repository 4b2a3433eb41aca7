"""Whose memory was not there, by the engine's words."""

import pytest

from leader.llama.refused_memory import refused_memory
from leader.placement.rpc_groups import RpcGroup

ANNA, BERT = RpcGroup(b"a" * 16, ("CPU",)), RpcGroup(b"b" * 16, ("CUDA0", "CPU"))
ENDPOINTS = {ANNA: "127.0.0.1:20001", BERT: "127.0.0.1:20002"}


@pytest.mark.parametrize(
    ("reason", "server"),
    [
        ("failed to allocate RPC0[127.0.0.1:20001] buffer of size 7481376", ANNA),
        ("unable to allocate RPC1[127.0.0.1:20002] buffer", RpcGroup(BERT.member, ("CPU",))),
        ("unable to allocate RPC2[127.0.0.1:20002] buffer", None),
        ("unable to allocate RPC0[127.0.0.1:20003] buffer", None),
        ("failed to allocate CPU buffer of size 7481376", None),
        ("RPC0[127.0.0.1:20001] model buffer size = 12 MiB", None),
        ("", None),
    ],
)
def test_the_device_that_llama_server_got_no_memory_on_is_named(reason: str, server: RpcGroup | None) -> None:
    assert refused_memory(reason, ENDPOINTS) == server

"""A pin that is changed in one place and not in another would break every build."""

import re

from mesh.engine.install import pins


def test_the_source_is_pinned_by_a_whole_hash_and_a_size() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", pins.SDIST_SHA256)
    assert pins.SDIST_SIZE > 1_000_000
    assert re.fullmatch(r"[0-9a-f]{7,40}", pins.COMMIT)


def test_versions_are_exact() -> None:
    for version in (pins.SDIST_VERSION, pins.RPC_VERSION, pins.ZIG_VERSION):
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_a_build_names_the_pinned_commit_and_no_flag_contradicts_another() -> None:
    names = [flag.removeprefix("-D").partition("=")[0] for flag in pins.BUILD_FLAGS]
    assert all(flag.startswith("-D") and "=" in flag for flag in pins.BUILD_FLAGS)
    assert len(set(names)) == len(names)
    assert f"-DLLAMA_BUILD_COMMIT={pins.COMMIT}" in pins.BUILD_FLAGS


def test_a_build_has_the_rpc_server_and_no_way_around_the_gate() -> None:
    assert {"-DGGML_RPC=ON", "-DGGML_RPC_RDMA=OFF"} <= set(pins.BUILD_FLAGS)

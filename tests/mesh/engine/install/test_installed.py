"""An installed engine goes first if it computes with the machine's backend; else one that was built."""

from dataclasses import replace
from pathlib import Path

import pytest

from mesh.engine.install import installed
from mesh.engine.install.installed import find_present
from mesh.engine.types import Backend, Engine

CUDA = Backend("cuda", "a card", "found one", ("-DGGML_CUDA=ON",))
INSTALLED = Engine(
    Path("/usr/bin/llama-server"), Path("/usr/bin/rpc-server"), "c", "7.0.0", "cuda", "installed"
)
BUILT = replace(INSTALLED, origin="built")


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the cache was asked for; it holds an engine."""
    asked: list[tuple[object, ...]] = []

    def find_built(*question: object) -> Engine:
        asked.append(question)
        return BUILT

    monkeypatch.setattr(installed, "find_built", find_built)
    monkeypatch.delenv("MESH_LLAMA_DIR", raising=False)
    return asked


def _is_installed(monkeypatch: pytest.MonkeyPatch, engine: Engine | None) -> None:
    async def find_installed() -> Engine | None:
        return engine

    monkeypatch.setattr(installed, "find_installed", find_installed)


async def test_an_installed_engine_of_the_machines_backend_is_taken(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[object, ...]]
) -> None:
    _is_installed(monkeypatch, INSTALLED)
    assert await find_present(CUDA, Path("/cache")) == INSTALLED
    assert asked == []


async def test_one_of_another_backend_is_taken_only_where_a_person_named_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for_cpu = replace(INSTALLED, backend="cpu")
    _is_installed(monkeypatch, for_cpu)
    assert await find_present(CUDA, Path("/cache")) == BUILT
    monkeypatch.setenv("MESH_LLAMA_DIR", "/opt/llama")
    assert await find_present(CUDA, Path("/cache")) == for_cpu


async def test_what_was_built_has_to_be_for_the_same_backend_and_flags(
    monkeypatch: pytest.MonkeyPatch, asked: list[tuple[object, ...]]
) -> None:
    _is_installed(monkeypatch, None)
    assert await find_present(CUDA, Path("/cache")) == BUILT
    assert asked == [(Path("/cache"), "cuda", ("-DGGML_CUDA=ON",))]

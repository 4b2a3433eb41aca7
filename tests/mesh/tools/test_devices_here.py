"""A command learns of the devices from the engine that is there, and of nothing before."""

from pathlib import Path

import pytest
import trio

from mesh.engine import devices
from mesh.engine.devices import EngineDevice, processor_alone
from mesh.engine.engine_errors import EngineError
from mesh.engine.types import Backend, Engine
from mesh.tools import devices_here as module
from mesh.tools.devices_here import devices_here

ENGINE = Engine(Path("/e/llama-server"), Path("/e/rpc-server"), "abc", "7.0.0", "cuda", "built")
CARD = EngineDevice("CUDA0", "cuda", "NVIDIA L4", 24 << 30, 22 << 30)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What detection, the search for an engine, and the engine say."""
    said: dict[str, object] = {"backend": Backend("cuda", "L4", ""), "engine": ENGINE, "devices": (CARD,)}

    def say(what: str) -> object:
        answer = said[what]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def find_present(backend: Backend, cache: Path) -> object:
        await trio.lowlevel.checkpoint()
        return say("engine")

    async def ask(engine: Engine) -> object:
        await trio.lowlevel.checkpoint()
        return say("devices"), ()

    monkeypatch.setattr(module, "detect", lambda: say("backend"))
    monkeypatch.setattr(module, "find_present", find_present)
    monkeypatch.setattr(devices, "ask", ask)
    return said


def test_the_engine_that_is_there_says_it(found: dict[str, object]) -> None:
    assert devices_here() == (CARD,)


def test_before_there_is_one_a_processors_alone_is_known(found: dict[str, object]) -> None:
    found["engine"] = None
    assert devices_here() is None
    found["backend"] = Backend("cpu", "EPYC", "")
    assert devices_here() == processor_alone("EPYC")


@pytest.mark.parametrize("what", ["backend", "engine", "devices"])
def test_what_fails_leaves_it_unknown(found: dict[str, object], what: str) -> None:
    found[what] = EngineError("no")
    assert devices_here() is None

from tests.mesh.cli.conftest import FakeSidecar, Terminal


async def test_stop_says_what_was_stopped(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["stop"] = {"model": "tiny.gguf"}
    assert (await mesh("stop")).out == "stopped tiny.gguf\n"
    sidecar.answers["stop"] = {"model": None}
    assert (await mesh("stop")).out == "nothing was being served\n"

from tests.mesh.cli import examples
from tests.mesh.cli.conftest import FakeSidecar, Terminal


async def test_models_names_who_holds_them(mesh: Terminal, sidecar: FakeSidecar) -> None:
    held = {"name": "tiny.gguf", "size": 1 << 30, "sha256": "ab" * 32, "serving": True}
    sidecar.answers["models"] = {"models": [{**held, "members": [examples.ALPHA, examples.BETA]}]}
    sidecar.answers["status"] = examples.status()
    assert (await mesh("models")).out.splitlines()[1].split() == [
        *("tiny.gguf", "1.0", "GiB", "abababababab", "alpha,", "beta", "serving"),
    ]
    assert (await mesh("models", "--json")).json() == sidecar.answers["models"]


async def test_a_pool_without_models_says_how_to_bring_one(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["models"] = {"models": []}
    assert "mesh serve MODEL.gguf" in (await mesh("models")).out

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
    assert "mesh pull MODEL" in (await mesh("models")).out


async def test_copies_under_way_are_shown_with_their_progress(mesh: Terminal, sidecar: FakeSidecar) -> None:
    held = {"name": "tiny.gguf", "size": 1 << 30, "sha256": "ab" * 32, "serving": True, "copies_wanted": 2}
    copies = [
        {"member": examples.BETA, "state": "copying", "progress": 0.254, "rate": 12.5 * (1 << 20),
         "sources": 1, "reason": ""},
        {"member": examples.GAMMA, "state": "idle", "progress": 0.0, "rate": 0.0, "sources": 0,
         "reason": "lacks 3.0 GiB of disk space"},
    ]  # fmt: skip
    sidecar.answers["models"] = {"models": [{**held, "members": [examples.ALPHA], "copies": copies}]}
    sidecar.answers["status"] = examples.status()
    assert (await mesh("models")).out.splitlines()[2:] == [
        "copy to beta: 25%, copying, 12.5 MiB/s from 1 source",
        "copy to gamma: 0% (lacks 3.0 GiB of disk space)",
    ]


async def test_superfluous_copies_are_removed_on_demand(mesh: Terminal, sidecar: FakeSidecar) -> None:
    sidecar.answers["prune"] = {"removed": [{"name": "old.gguf", "size": 5 << 20, "sha256": "cd" * 32}]}
    assert (await mesh("models", "--prune")).out == "removed old.gguf, 5.0 MiB\n"
    assert (await mesh("models", "--prune", "--json")).json() == sidecar.answers["prune"]
    sidecar.answers["prune"] = {"removed": []}
    assert "no copy here" in (await mesh("models", "--prune")).out

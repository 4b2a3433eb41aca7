"""One machine of the gate's benchmark, in a process of its own: a worker and its gate, or a leader.

Reads one line of JSON, answers with one, and runs until its input closes.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from leader.llama.server_arguments import environment
from leader.llama.tunnels import OpenTunnel, open_tunnels, pass_gate
from leader.placement.rpc_groups import RpcGroup
from mesh.engine.process.child import Process
from mesh.engine.process.reach import reach
from mesh.engine.sandbox.confinement import Confinement
from mesh.engine.sandbox.engine_users import LLAMA_SERVER
from mesh.engine.sandbox.isolation import isolation
from mesh.net.port import bind_port
from mesh.net.streams import Streams
from mesh.wire.endpoint import Endpoint
from mesh.wire.identity import Identity, NodeId
from tests.benchmarks.gate_door import CONTEXT, BenchedEngine
from tests.benchmarks.gate_ways import WAYS, going
from tests.leader.llama.url_of import url_of
from tests.worker.lent import Lent
from worker.gate import Gate
from worker.rpc_servers import RpcServers

LAYERS = 24
TERM = 1


@dataclass(frozen=True)
class Claim:
    """Of the one leader that there is."""

    author: bytes
    term: int = TERM


async def _until_input_closes() -> None:
    stream = trio.lowlevel.FdStream(os.dup(0))
    while await stream.receive_some(1024):
        pass
    await stream.aclose()


def _line() -> bytes:
    """One line of input, and nothing behind it."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1)
    return line


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


class GateNode:
    """A member that knows all others from the start."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.way = WAYS[config["way"]]
        identities = [Identity.from_seed(bytes.fromhex(seed)) for seed in config["seeds"]]
        self.leader = identities[0]
        self.streams = Streams(identities[config["number"]])
        self.streams.trust({identity.id: identity.public_key for identity in identities})
        self.workers = [identity.id for identity in identities[1:]]

    async def trusts(self, local: Endpoint, remote: Endpoint) -> bool:
        await trio.lowlevel.checkpoint()
        return not self.way.tls

    async def work(self) -> None:
        port = bind_port(["127.0.0.1"])
        with tempfile.TemporaryDirectory() as folder:
            lent = [Lent(offered=8 << 30)]
            servers = RpcServers(Path(self.config["rpc_server"]), lent, lambda name: Path(folder) / name)
            gate = Gate(servers, self.trusts)
            gate.set_holder(Claim(self.leader.id))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(servers.run)
                await servers.wait_ready()
                await nursery.start(self.streams.serve, port.tcp, {"tunnel": gate.handle})
                _say(port.port)
                await _until_input_closes()
                nursery.cancel_scope.cancel()
        port.close()

    async def lead(self) -> None:
        endpoints = {
            worker: Endpoint("127.0.0.1", port)
            for worker, port in zip(self.workers, self.config["ports"], strict=True)
        }

        async def opener(server: RpcGroup) -> OpenTunnel:
            worker = NodeId(server.member)
            session = await self.streams.open(
                worker, [endpoints[worker]], "tunnel", {"term": TERM, "plain": True}
            )
            return await pass_gate(session, self.trusts)

        def on_reset(server: RpcGroup, reason: str, cut: bool) -> None:
            print(f"the tunnel to {server.member.hex()[:8]}: {reason}", file=sys.stderr)

        port, machine = bind_port(["127.0.0.1"]), isolation()
        wanted = machine.applied(Confinement(reads=(self.config["model"],)), LLAMA_SERVER)
        with closing(reach(wanted, machine.cells, len(self.workers))) as made:
            engine = [self.config["llama_server"]]
            engine += llama_arguments(self.config["model"], made.host, made.port, made.endpoints)
            process = Process(
                made.confinement.command(engine),
                environment=environment(os.environ),
                descriptors=made.descriptors,
            )
            made.started(process.pid)
            async with open_tunnels(opener, on_reset) as tunnels, trio.open_nursery() as nursery:
                nursery.start_soon(process.run, lambda line: None)
                for worker, listener in zip(self.workers, await made.listeners(), strict=True):
                    tunnels.listen(RpcGroup(worker, ("",)), listener)
                benched = BenchedEngine(made.connect)
                await nursery.start(benched.run)
                await nursery.start(self.streams.serve, port.tcp, benched.handlers())
                async with url_of(made.connect) as url:
                    _say({"url": url, "port": port.port})
                    await _until_input_closes()
                nursery.cancel_scope.cancel()
        port.close()


def llama_arguments(model: str, host: str, port: int, endpoints: Sequence[str]) -> list[str]:
    """All layers on these rpc-servers, in equal shares; the last one has the head besides."""
    return [
        *("--model", model, "--host", host, "--port", str(port)),
        *(
            "--no-ui",
            "--offline",
            "-c",
            str(CONTEXT),
            "-np",
            "1",
            "--no-kv-unified",
            "-fit",
            "off",
            "-cram",
            "0",
        ),
        *("--rpc", ",".join(endpoints), "--device", ",".join(f"RPC{i}" for i in range(len(endpoints)))),
        *("-ngl", str(LAYERS + 1), "-ts", ",".join(map(str, _shares(LAYERS + 1, len(endpoints))))),
    ]


def _shares(layers: int, parts: int) -> list[int]:
    return [layers // parts + (number >= parts - layers % parts) for number in range(parts)]


async def main() -> None:
    """The first of the seeds is the leader's."""
    node = GateNode(json.loads(_line()))
    with going(node.way):
        await (node.work() if node.config["number"] else node.lead())


if __name__ == "__main__":
    trio.run(main)

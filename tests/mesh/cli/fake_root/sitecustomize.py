"""Put before all others on PYTHONPATH, this makes ``mesh sidecar`` run a stand-in for mesh.root.sidecar.

FAKE_SIDECAR is a JSON object that says how it behaves: ``start`` is ok, refuse, stumble, crash or hang;
``join`` is the answer to a join, a ``result`` or an ``error``. It is in a pool if its directory says so.
"""

import json
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.control.sidecar_options import SidecarOptions

BEHAVIOUR = json.loads(os.environ.get("FAKE_SIDECAR", "{}"))


def main(options: "SidecarOptions", join: Any = None, on_event: Any = None, on_joined: Any = None) -> int:
    import trio

    from mesh.wire.errors import MeshError

    started = {"argv": sys.orig_argv, "environment": dict(os.environ), "pid": os.getpid()}
    with (options.state_dir / "started.jsonl").open("a") as file:
        print(json.dumps(started), file=file)
    match BEHAVIOUR.get("start", "ok"):
        case "refuse":
            raise MeshError("port 50052 is taken", "use --port")
        case "stumble":
            raise ZeroDivisionError("oops")
        case "crash":
            print("it all went wrong", flush=True)
            os._exit(3)
        case "hang":
            trio.run(trio.sleep_forever)

    def ready() -> None:
        if join is not None:
            with (options.state_dir / "joins.jsonl").open("a") as file:
                print(json.dumps({"join": join}), file=file)
            on_event({"text": "searching"})
            on_joined(BEHAVIOUR["join"]["result"])

    trio.run(_serve, options, ready)
    return 0


async def _serve(options: "SidecarOptions", ready: Callable[[], None]) -> None:
    import signal

    import trio

    from mesh.control import paths
    from mesh.control.control_errors import ControlError
    from mesh.control.control_server import Emit, serve_control
    from mesh.runtime.state import StateDir
    from mesh.wire.identity import pool_id

    state = StateDir(options.state_dir)
    joined = state.current_pool() is not None

    async def info(args: dict[str, Any], emit: "Emit") -> dict[str, Any]:
        given = {"port": 50052, "work": True, "memory": None, **options.given}
        return {
            "pid": os.getpid(),
            "version": "0",
            "state_dir": str(options.state_dir),
            "joined": joined,
            "options": given,
        }

    async def join(args: dict[str, Any], emit: "Emit") -> dict[str, Any]:
        nonlocal joined
        with (options.state_dir / "asked.jsonl").open("a") as file:
            print(json.dumps(args), file=file)
        await emit({"text": "searching the tailnet"})
        if "error" in BEHAVIOUR["join"]:
            raise ControlError(*BEHAVIOUR["join"]["error"])
        result: dict[str, Any] = BEHAVIOUR["join"]["result"]
        how = "member" if joined else result["how"]
        joined = True
        state.enter(pool_id(bytes(32)))
        return {**result, "how": how}

    async def shutdown(args: dict[str, Any], emit: "Emit") -> dict[str, Any]:
        nursery.cancel_scope.cancel()
        return {"pid": os.getpid()}

    async with trio.open_nursery() as nursery:
        socket = paths.socket_path(str(options.state_dir))
        handlers = {"info": info, "join": join, "shutdown": shutdown}
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            await nursery.start(serve_control, socket, handlers)
            ready()
            async for _ in signals:
                nursery.cancel_scope.cancel()


module = ModuleType("mesh.root.sidecar")
module.main = main  # type: ignore[attr-defined]
sys.modules["mesh.root.sidecar"] = module

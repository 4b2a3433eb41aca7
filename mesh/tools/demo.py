"""`mesh demo`: a whole pool on one machine, in a minute.

It starts three nodes on loopback, each with its own process and state, and generates a model that fits on
none of them. It streams an answer through a node that does not lead, kills the leader, and streams a second
answer. Everything is in a temporary directory, which is removed afterwards.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from mesh.engine.detect import detect
from mesh.engine.install.build import ensure
from mesh.engine.install.cache import cache_dir
from mesh.engine.types import Progress
from mesh.tools.generator import ModelSpec, generate, spec_of_size
from mesh.wire.errors import MeshError

NAMES = ("alpha", "bravo", "charlie")
MEMORY = "60M"
MODEL_BYTES = 66_000_000
LAYERS = 24
WAIT_SECONDS = 60.0
PROMPT = "Tell me about the mesh."
ANSWER_TOKENS = 48
ADVICE = "mesh doctor tells what this machine lacks; then try again"

T = TypeVar("T")


@dataclass
class Demo:
    """One run: its folder, and how many seconds each step took."""

    folder: Path
    say: Callable[[str], None]
    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.timings[step] = round(time.monotonic() - start, 3)

    def mesh(self, name: str, *arguments: str, stdin: str = "") -> str:
        """Run one `mesh` command on the node ``name`` and return its output."""
        command = [sys.executable, "-m", "mesh.cli", "--state-dir", str(self.folder / name), *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=WAIT_SECONDS + 30)
        if done.returncode != 0:
            raise MeshError(
                f"mesh {arguments[0]} failed on {name}: {done.stderr.strip() or done.stdout.strip()}",
                ADVICE,
            )
        return done.stdout

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.mesh(name, "status", "--json"))
        return status

    def wait_for(self, name: str, what: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        return self.wait_until(lambda: self.status(name), holds, f"{name} waited in vain for {what}")

    def wait_until(self, ask: Callable[[], T], holds: Callable[[T], bool], otherwise: str) -> T:
        limit = time.monotonic() + WAIT_SECONDS
        while not holds(said := ask()):
            if time.monotonic() > limit:
                raise MeshError(f"{otherwise}, for {WAIT_SECONDS:.0f} s", f"it says {said}")
            time.sleep(0.1)
        return said

    # --- the steps --------------------------------------------------------------------------------

    def join(self) -> None:
        options = ["--bind", "127.0.0.1", "--port", "0", "--api-port", "0", "--memory", MEMORY]
        options += ["--tailscaled-socket", "off", "--no-service"]
        self.mesh(NAMES[0], "join", "--found", "--name", NAMES[0], *options)
        token = json.loads(
            self.mesh(NAMES[0], "invite", "--rights", "work,ask,lead,own", "--uses", "2", "--json")
        )["token"]
        for name in NAMES[1:]:
            self.mesh(name, "join", "-", "--name", name, *options, stdin=token)
        status = self.wait_for(NAMES[0], "three members", lambda s: alive(s) == 3 and s["leader"] is not None)
        for member in status["members"]:
            self.say(
                f"  {member['name']:<8} {member['address']:<22} "
                f"{member['accelerator']['kind']}, offers {MEMORY}"
            )

    def serve(self, model: Path) -> dict[str, Any]:
        leader = self.status(NAMES[0])["leader"]["name"]
        self.mesh(leader, "serve", str(model), "--ctx", "512", "--slots", "1", "--wait")
        return self.status(NAMES[0])

    def wait_for_copy(self) -> None:
        """Wait until a second node holds the file, which the pool ensures by itself."""

        def holders() -> list[Any]:
            (model,) = json.loads(self.mesh(NAMES[0], "models", "--json"))["models"]
            members: list[Any] = model["members"]
            return members

        self.wait_until(holders, lambda members: len(members) >= 2, "no second copy of the model was made")

    def show(self, status: dict[str, Any]) -> None:
        names = {member["id"]: member["name"] for member in status["members"]}
        self.say(f"  {status['leader']['name']} leads (term {status['leader']['term']})")
        for stage in status["plan"]["stages"]:
            first, last = stage["layers"]
            head = " and the head" if stage["head"] else ""
            self.say(
                f"  layers {first:>2} to {last:>2}{head} on {names[stage['member']]}, "
                f"{stage['bytes'] / 1e6:.0f} MB"
            )

    def answer(self, name: str) -> str:
        """Stream one answer through the gateway of ``name``."""
        url = self.status(name)["api"]
        request = {
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": ANSWER_TOKENS,
            "temperature": 0,
            "stream": True,
        }
        text = ""
        with (
            httpx.Client(trust_env=False, timeout=WAIT_SECONDS) as client,
            client.stream("POST", f"{url}/chat/completions", json=request) as response,
        ):
            if response.status_code != 200:
                raise MeshError(
                    f"the gateway of {name} answers {response.status_code}: {response.read().decode()}",
                    ADVICE,
                )
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    delta = json.loads(line[6:])
                    if "error" in delta:
                        raise MeshError(f"the answer broke off: {delta['error']}", ADVICE)
                    text += delta["choices"][0]["delta"].get("content") or ""
        if not text:
            raise MeshError(f"the gateway of {name} gave an empty answer", ADVICE)
        return text

    def kill(self, name: str) -> None:
        os.kill(self._pid(name), signal.SIGKILL)

    def _pid(self, name: str) -> int:
        return int((self.folder / name / "sidecar.pid").read_text())

    def stop(self) -> None:
        """End the nodes that still run, gracefully if possible."""
        for name in NAMES:
            if (self.folder / name / "sidecar.pid").exists():
                try:
                    self.mesh(name, "leave")
                except (MeshError, subprocess.TimeoutExpired):
                    self._end(name)

    def _end(self, name: str) -> None:
        try:
            self.kill(name)
        except (ProcessLookupError, FileNotFoundError, ValueError):
            return


def alive(status: dict[str, Any]) -> int:
    return sum(member["state"] == "alive" for member in status["members"])


def main(as_json: bool = False) -> int:
    """Run the demo; 0 when every step worked. With ``as_json`` the timings (seconds) are the only output."""
    folder = Path(tempfile.mkdtemp(prefix="mesh-demo-"))
    demo = Demo(folder, (lambda text: None) if as_json else (lambda text: print(text, flush=True)))
    try:
        result = run(demo)
    except MeshError:
        keep_logs(folder, demo.say)
        raise
    finally:
        with demo.timed("stop"):
            demo.stop()
        shutil.rmtree(folder, ignore_errors=True)
    demo.say(f"Everything is stopped and removed. The whole took {sum(demo.timings.values()):.1f} s.")
    if as_json:
        print(json.dumps(result | {"timings_seconds": demo.timings}))
    return 0


def run(demo: Demo) -> dict[str, Any]:
    with demo.timed("engine"):
        demo.say("Getting the engine (llama.cpp)")
        get_engine(demo.say)
    with demo.timed("model"):
        model = demo.folder / "frankenstein.gguf"
        generate(model, spec_of_size(MODEL_BYTES, ModelSpec(layers=LAYERS)))
        demo.say(f"Made a model of {model.stat().st_size / 1e6:.0f} MB; no node offers more than {MEMORY}")
    with demo.timed("join"):
        demo.say("Starting three nodes")
        demo.join()
    with demo.timed("serve"):
        demo.say("Serving the model, split")
        status = demo.serve(model)
    demo.show(status)
    leader = status["leader"]["name"]
    first_gateway, second_gateway = (name for name in NAMES if name != leader)
    demo.say(f"Asking through {first_gateway}, which does not lead")
    with demo.timed("first_answer"):
        first = demo.answer(first_gateway)
    demo.say(f"  {first}")
    with demo.timed("copy"):
        demo.wait_for_copy()
        demo.say("A second node has copied the model's file meanwhile")
    demo.say(f"Killing {leader}, the leader, with -9")
    with demo.timed("failover"):
        demo.kill(leader)
        status = demo.wait_for(second_gateway, "a new leader that serves", lambda s: serving_again(s, leader))
    demo.show(status)
    demo.say(f"Asking through {second_gateway}")
    with demo.timed("second_answer"):
        second = demo.answer(second_gateway)
    demo.say(f"  {second}")
    return {"first_leader": leader, "second_leader": status["leader"]["name"], "answers": [first, second]}


def serving_again(status: dict[str, Any], former: str) -> bool:
    deployment = status["deployment"]
    return (
        status["leader"] is not None
        and status["leader"]["name"] != former
        and deployment is not None
        and deployment["state"] == "ready"
    )


def get_engine(say: Callable[[str], None]) -> None:
    """Get the engine before anything is timed; print a line every ten percent."""
    import trio

    shown = -1

    def report(progress: Progress) -> None:
        nonlocal shown
        if int(progress.fraction * 10) > shown:
            shown = int(progress.fraction * 10)
            left = f", {progress.eta_seconds:.0f} s left" if progress.eta_seconds else ""
            say(f"  {progress.fraction:4.0%} {progress.text}{left}")

    backend = detect()
    say(f"  {backend.name}: {backend.reason}")
    engine = trio.run(ensure, backend, cache_dir(), report)
    say(f"  {engine.llama_server} ({engine.commit})")


def keep_logs(folder: Path, say: Callable[[str], None]) -> None:
    """Keep the logs of a failed step when the demo's folder is removed."""
    kept = Path(tempfile.mkdtemp(prefix="mesh-demo-logs-"))
    for name in NAMES:
        for log in (folder / name).glob("*.log"):
            shutil.copy(log, kept / f"{name}-{log.name}")
    say(f"The logs are kept in {kept}")

"""What a person waits for: members seen, a status, a hang-up noticed, orphans gone, the demo over.

Three hosts of the lab with the real engine and a model that fits on none of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import trio

from tests.benchmarks.report import Report, Row, Summary, at_most
from tests.e2e.pools import alive, client, found, greedy, is_ready, join, leader, make_model, status_when
from tests.lab.host import Host
from tests.lab.lab import Lab

HELP = "what a person waits for: joins, status, a hang-up, orphans, the demo"
REPEATS = 10
LIMIT_SECONDS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=REPEATS, help="samples of each figure")


def run(options: argparse.Namespace) -> Report:
    """Measure and print; see the module."""
    samples: dict[str, list[float]] = {"alive": [], "status": [], "hang_up": [], "orphans": [], "demo": []}
    with tempfile.TemporaryDirectory() as folder, Lab() as lab:
        hosts = lab.hosts(3)
        trio.run(_measure, hosts, Path(folder), options.repeats, samples)
    samples["demo"].append(_demo())
    return _report(options.repeats, samples)


async def _measure(hosts: list[Host], folder: Path, repeats: int, samples: dict[str, list[float]]) -> None:
    for _ in range(repeats - 1):
        await _form(hosts, samples["alive"])
        for host in hosts:
            await host.amesh("leave", "--purge")
    await _form(hosts, samples["alive"])
    await hosts[0].amesh("serve", make_model(folder), "--ctx", "2048", "--wait", timeout=120)
    status = await status_when(hosts[0], is_ready)
    other = next(host for host in hosts if host.name != leader(status))
    for _ in range(repeats):
        began = time.perf_counter()
        await other.amesh("status", "--json")
        samples["status"].append((time.perf_counter() - began) * 1000)
        samples["hang_up"].append(await _hang_up(other))
    for _ in range(repeats):
        victim = next(host for host in hosts if host.name == leader(status))
        samples["orphans"].append(await _orphans(victim))
        await victim.amesh("join")
        status = await status_when(hosts[0], lambda s: len(alive(s)) == 3 and leader(s) is not None)


async def _form(hosts: list[Host], samples: list[float]) -> None:
    """Three joins; how long after the last one's return every host lists three alive."""
    token = await trio.to_thread.run_sync(found, hosts[0])
    for host in hosts[1:]:
        await trio.to_thread.run_sync(join, host, token)
    began = time.perf_counter()
    for host in hosts:
        await status_when(host, lambda status: len(alive(status)) == 3)
    samples.append(time.perf_counter() - began)


async def _hang_up(host: Host) -> float:
    """From the client's close until no slot of the leader's llama-server works any more."""
    async with client(host) as http:
        request = greedy("Once", 1900) | {"stream": True}
        address, port = str(http.base_url).removeprefix("http://").rstrip("/").split(":")
        body = json.dumps(request).encode()
        head = f"POST /completion HTTP/1.1\r\nHost: {address}:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
        async with await host.connect(address, int(port)) as stream:
            await stream.send_all(head.encode() + body)
            answer = b""
            while b"data: {" not in answer:
                answer += await stream.receive_some()
        began = time.perf_counter()
        with trio.fail_after(LIMIT_SECONDS):
            while True:
                if not any(slot["is_processing"] for slot in (await http.get("/slots")).json()):
                    return time.perf_counter() - began
                await trio.sleep(0.02)


async def _orphans(host: Host) -> float:
    """From kill -9 of the sidecar until its rpc-server and llama-server are gone."""
    engines = [process for process in host.processes() if _is_engine(process)]
    assert engines, "the leader runs an engine"
    host.kill_sidecar()
    began = time.perf_counter()
    with trio.fail_after(LIMIT_SECONDS):
        while True:
            if not any(_lives(process) for process in engines):
                return time.perf_counter() - began
            await trio.sleep(0.01)


def _is_engine(process: psutil.Process) -> bool:
    return "llama" in _name(process) or "rpc" in _name(process)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _demo() -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "mesh.cli", "demo", "--json"], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def _report(repeats: int, samples: dict[str, list[float]]) -> Report:
    figures = {name: Summary.of(values) for name, values in samples.items()}
    texts = {
        "alive": ("three alive everywhere after the last join", "s", 2.0),
        "status": ("mesh status --json", "ms", 150.0),
        "hang_up": ("slot free after a client hung up", "s", 1.0),
        "orphans": ("engine gone after kill -9 of the sidecar", "s", 2.0),
        "demo": ("mesh demo, engine cached", "s", 60.0),
    }
    goals, rows = [], []
    for name, (what, unit, goal) in texts.items():
        summary = figures[name]
        share = "median" if name == "status" else "maximum"
        value = None if summary is None else summary.median if share == "median" else summary.maximum
        goals.append(at_most(f"{what}, {share}", goal, value, unit))
        if summary is not None:
            rows.append(Row(what, unit, {"mesh": summary}))
    return Report("first_light", {"hosts": 3, "repeats": repeats}, dict(samples), goals, rows)

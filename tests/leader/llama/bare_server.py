"""A llama-server wired by hand: what a pool's answers are compared with."""

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def process(argv: list[str], log: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Runs ``argv`` with its output in ``log``; kills it at the end."""
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "OMP_WAIT_POLICY": "passive"}
    with log.open("wb") as output:
        child = subprocess.Popen(argv, stdout=output, stderr=output, env=environment)  # noqa: ASYNC220
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@asynccontextmanager
async def rpc_server(
    binary: Path, directory: Path, devices: Sequence[str] = ("CPU",)
) -> AsyncIterator[tuple[int, subprocess.Popen[bytes]]]:
    """An rpc-server of one thread on loopback; gives its port and process once it listens."""
    port = free_port()
    log = directory / f"rpc-{port}.log"
    argv = [str(binary), "-H", "127.0.0.1", "-p", str(port), "-t", "1", "-d", ",".join(devices)]
    async with process(argv, log) as child:
        with trio.fail_after(20):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", port)
                except OSError:
                    assert child.poll() is None, log.read_text()
                    await trio.sleep(0.02)
                else:
                    await stream.aclose()
                    break
        yield port, child


@asynccontextmanager
async def bare_server(binary: Path, model: Path, directory: Path, *arguments: str) -> AsyncIterator[str]:
    """A llama-server with ``arguments`` added; gives its base URL once it is healthy."""
    port = free_port()
    log = directory / f"server-{port}.log"
    argv = [str(binary), "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
    argv += ["-c", "1024", "-np", "1", "-fit", "off", "-cram", "0", *arguments]
    async with process(argv, log) as child, httpx.AsyncClient(trust_env=False) as client:
        with trio.fail_after(60):
            while True:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert child.poll() is None, log.read_text()
                await trio.sleep(0.02)
        yield f"http://127.0.0.1:{port}"


async def post(url: str, body: dict[str, Any], seconds: float = 120) -> Any:
    """POST as JSON; the answer's JSON."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(url, json=body, timeout=seconds)
        answer.raise_for_status()
        return answer.json()


async def greedy(url: str, prompt: str, tokens: int) -> list[int]:
    """Token ids of a greedy completion, without the prompt cache."""
    body = {
        "prompt": prompt,
        "n_predict": tokens,
        "temperature": 0,
        "return_tokens": True,
        "cache_prompt": False,
    }
    return list((await post(f"{url}/completion", body))["tokens"])

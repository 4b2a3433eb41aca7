"""httpx on trio over connections that start on a host of the lab."""

# The signatures are httpcore's.
# ruff: noqa: ASYNC109

# The signatures are httpcore's.
# ruff: noqa: ASYNC109

import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore
import httpx
import trio

Connect = Callable[[str, int, float], Awaitable[trio.SocketStream]]


def client_through(connect: Connect, base_url: str, timeout: float) -> httpx.AsyncClient:
    """A client whose connections are made by ``connect(address, port, seconds)``; http:// only."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(connect))
    return httpx.AsyncClient(transport=transport, base_url=base_url, timeout=timeout, trust_env=False)


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _Stream(await self._connect(host, port, timeout or 10))
        except trio.TooSlowError as problem:
            raise httpcore.ConnectTimeout(str(problem)) from problem
        except OSError as problem:
            raise httpcore.ConnectError(str(problem)) from problem

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with trio.fail_after(_limit(timeout)):
                return await self._stream.receive_some(max_bytes)
        except trio.TooSlowError as problem:
            raise httpcore.ReadTimeout(str(problem)) from problem
        except (trio.BrokenResourceError, trio.ClosedResourceError) as problem:
            raise httpcore.ReadError(str(problem)) from problem

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            with trio.fail_after(_limit(timeout)):
                await self._stream.send_all(buffer)
        except trio.TooSlowError as problem:
            raise httpcore.WriteTimeout(str(problem)) from problem
        except (trio.BrokenResourceError, trio.ClosedResourceError) as problem:
            raise httpcore.WriteError(str(problem)) from problem

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("the lab's client speaks plain HTTP")

    def get_extra_info(self, info: str) -> Any:
        # httpcore asks whether an idle connection has become readable, which means that it was closed.
        if info == "is_readable":
            return self._stream.socket.is_readable()
        return None


def _limit(timeout: float | None) -> float:
    return float("inf") if timeout is None else timeout

from functools import partial

import trio

from mesh.engine.process.rpc_port import free_port, greeting_version, wait_for_listener


async def test_a_knock_waits_for_a_listener_and_sends_nothing() -> None:
    port = free_port()
    received: list[bytes] = []

    async def listen(stream: trio.SocketStream) -> None:
        received.append(await stream.receive_some(100))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_listener, partial(trio.open_tcp_stream, "127.0.0.1", port))
            await trio.sleep(0.1)
            (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
            nursery.start_soon(trio.serve_listeners, listen, [listener])
            while not received:  # noqa: ASYNC110
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert received == [b""]


def test_the_protocols_version_is_in_the_greeting() -> None:
    assert greeting_version(["", "Starting RPC server v7.0.0", "  endpoint"]) == "7.0.0"
    assert greeting_version(["RPC server"]) is None

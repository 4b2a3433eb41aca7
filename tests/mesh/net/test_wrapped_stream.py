from trio.testing import memory_stream_pair

from mesh.net.wrapped_stream import WrappedStream


async def test_a_wrapped_stream_passes_everything_on() -> None:
    near, far = memory_stream_pair()
    wrapped = WrappedStream(near)
    await wrapped.send_all(b"question")
    assert await far.receive_some(8) == b"question"
    await far.send_all(b"answer")
    await wrapped.wait_send_all_might_not_block()
    assert await wrapped.receive_some(6) == b"answer"
    await wrapped.aclose()
    assert await far.receive_some(1) == b""

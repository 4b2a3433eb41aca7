"""The door's way to llama-server: what answers say of themselves, and what comes of lost connections."""

import pytest
import trio
import trio.testing

from mesh.gateway.leaders import RequestRefused
from mesh.gateway.upstream import UpstreamLost
from mesh.serving.asking.engine_client import CountsReader, TokenCounts, engine_client, read_token_counts

CHAT = b'"usage":{"completion_tokens":5,"prompt_tokens":40,"total_tokens":45},"timings":{"cache_n":30,'
TIMINGS = b'"prompt_n":10,"prompt_ms":250.5,"predicted_n":5}}'


def test_a_chats_usage_and_timings_are_read() -> None:
    assert read_token_counts(CHAT + TIMINGS) == TokenCounts(40, 5, 10, 0.2505)


def test_without_usage_the_timings_tell() -> None:
    assert read_token_counts(b'{"timings":{"cache_n":30,' + TIMINGS) == TokenCounts(40, 5, 10, 0.2505)


def test_text_that_looks_like_usage_is_none() -> None:
    assert read_token_counts(rb'{"content":"\"prompt_tokens\": 999, \"predicted_n\": 9"}') == TokenCounts()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_timings_are_found_also_before_long_probabilities(size: int) -> None:
    answer = b'{"content":"x","timings":{"cache_n":30,' + TIMINGS[:-1]
    answer += b',"completion_probabilities":[' + b'{"id":1},' * 2000 + b"{}]}"
    reader = CountsReader()
    for start in range(0, len(answer), size):
        reader.feed(answer[start : start + size])
    assert reader.counts() == TokenCounts(40, 5, 10, 0.2505)


async def answering(answer: bytes) -> trio.abc.Stream:
    near, far = trio.testing.memory_stream_pair()
    await far.send_all(answer)
    await far.send_eof()
    return near


async def test_an_answer_in_json_is_read_whole() -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"tokens":[1]}'[:-1] + b"}"
    async with engine_client(lambda: answering(answer.replace(b"13", b"14"))) as client:
        assert await client.ask("/tokenize", {"content": "a"}) == {"tokens": [1]}


async def test_what_llama_server_refuses_is_told_in_its_words() -> None:
    answer = b"HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nwrong"
    async with engine_client(lambda: answering(answer)) as client:
        with pytest.raises(RequestRefused, match="400: wrong"):
            await client.ask("/tokenize", {})


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"])
async def test_an_answer_that_breaks_off_is_lost(answer: bytes) -> None:
    async with engine_client(lambda: answering(answer)) as client:
        with pytest.raises(UpstreamLost):
            await client.ask("/tokenize", {})


async def test_a_llama_server_that_takes_no_connection_is_lost() -> None:
    async def refuse() -> trio.abc.Stream:
        raise ConnectionRefusedError

    async with engine_client(refuse) as client:
        with pytest.raises(UpstreamLost):
            await client.send("GET", "/health", b"")

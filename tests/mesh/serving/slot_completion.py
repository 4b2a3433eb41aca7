"""Asks a llama-server for a completion in a slot that was handed out, as the door does."""

import json
import time
from dataclasses import dataclass
from typing import Any

import trio

from mesh.gateway.upstream import Upstream
from mesh.serving.asking.slot_turns import SlotTurn, SlotTurns

BEGINNING_BYTES = 256


@dataclass(frozen=True, slots=True)
class Completion:
    """``first_token`` is in seconds since it was asked for; ``told`` is the last event."""

    first_token: float
    text: str
    told: dict[str, Any]

    @property
    def cached(self) -> int:
        """The tokens of the prompt that were in the slot."""
        return int(self.told["timings"]["cache_n"])


def beginnings(prompt: str) -> tuple[int, ...]:
    """Hashes of a prompt's beginnings, each longer than the one before by so many bytes."""
    text = prompt.encode()
    return tuple(hash(text[:end]) for end in range(BEGINNING_BYTES, len(text) + 1, BEGINNING_BYTES))


async def complete(turns: SlotTurns, domain: str, prompt: str, tokens: int) -> Completion:
    """A greedy completion for a domain; waits for its turn."""
    began = time.perf_counter()
    async with turns.turn(domain, beginnings(prompt)) as turn:
        return await asked(turn, prompt, tokens, began)


async def asked(turn: SlotTurn, prompt: str, tokens: int, began: float) -> Completion:
    """The same with a turn that one has."""
    wanted = {
        "prompt": prompt, "n_predict": tokens, "temperature": 0, "stream": True, "ignore_eos": True,
        "id_slot": turn.slot, "cache_prompt": turn.reuse,
    }  # fmt: skip
    body = json.dumps(wanted).encode()
    headers = [(b"host", b"x"), (b"content-type", b"application/json")]
    headers.append((b"content-length", b"%d" % len(body)))
    async with Upstream(await turn.connect()) as upstream:
        await upstream.send_head("POST", b"/completion", headers)
        await upstream.send_body(body)
        await upstream.end_request()
        assert (await upstream.receive_head()).status == 200
        turn.began()
        answer, first = bytearray(), 0.0
        while piece := await upstream.receive():
            answer += piece
            if not first and b"data: " in answer:
                first = time.perf_counter() - began
        events = [json.loads(event) for event in answer.split(b"data: ")[1:]]
        told = events[-1]
        timings = told["timings"]
        computed, seconds = timings["prompt_n"], timings["prompt_ms"] / 1000
        turn.used(told["tokens_evaluated"] + tokens, timings["cache_n"], computed, seconds)
    await trio.lowlevel.checkpoint()
    return Completion(first, "".join(event["content"] for event in events), told)

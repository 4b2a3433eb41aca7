"""Asks through a node's gateway, as any client would, and notes when each piece of the answer comes."""

import json
import re
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

import httpx

from mesh.tools.demo.recorded_run import AnswerPiece
from mesh.tools.demo.step_failed import StepFailed

QUESTION: Final = "What makes a good team? Answer in one short paragraph."
LONGEST_ANSWER: Final = 160
"""Tokens."""
CONTEXT: Final = 512
"""Tokens, for the question and the answer."""
SILENCE_SECONDS: Final = 60.0
"""Without a byte; while the pool looks for a leader, comments come."""
WORDS_BEFORE_KILL: Final = 40
WORDS_OF_A_BEGUN_SENTENCE: Final = 4

# The answer is computed from the first token on each time, and taken up exactly where it broke off.
HEADERS: Final = {"X-Mesh-Resume": "exact"}
REQUEST: Final[dict[str, Any]] = {
    "messages": [{"role": "user", "content": QUESTION}],
    "max_tokens": LONGEST_ANSWER,
    "temperature": 0,
    "stream": True,
    "cache_prompt": False,
}


async def ask(api: str) -> AsyncGenerator[AnswerPiece]:
    """The answer of the gateway at ``api`` (http://.../v1), piece by piece. Raises MeshError if it fails."""
    began = time.monotonic()
    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=SILENCE_SECONDS) as client,
            client.stream("POST", f"{api}/chat/completions", json=REQUEST, headers=HEADERS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                said = (await response.aread()).decode(errors="replace")
                raise StepFailed(f"the gateway answers {response.status_code}: {said}")
            broken = None
            async for line in response.aiter_lines():
                event = json.loads(line.removeprefix("data: ")) if line.startswith("data: {") else {}
                broken = event.get("error", broken)  # the stream ends after it
                if text := _text_of(event):
                    yield AnswerPiece(time.monotonic() - began, text)
            if broken is not None:
                raise StepFailed(f"the answer broke off: {broken}")
    except httpx.HTTPError as error:
        raise StepFailed(f"the gateway's answer broke off: {error or type(error).__name__}") from error


def _text_of(event: dict[str, Any]) -> str:
    choices = event.get("choices") or [{}]
    return choices[0].get("delta", {}).get("content") or ""


def amid_a_sentence(said: str, whole: str) -> bool:
    """Whether the leader is to be killed now: some 40 words have come, and a sentence is going on.

    ``whole`` is the undisturbed answer; half of it is enough where it is short. Where no sentence lasts, more
    words are.
    """
    wanted = min(WORDS_BEFORE_KILL, len(whole.split()) // 2)
    words = len(said.split())
    sentence = re.split(r"[.!?:](?:\s|$)", said)[-1].split()
    begun = len(sentence) >= WORDS_OF_A_BEGUN_SENTENCE
    return words >= wanted and (begun or words >= 1.5 * wanted)

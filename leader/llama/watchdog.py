"""Tells an engine that works from one that is alive but stuck. Pure.

When a worker hangs, or the network swallows its packets, llama-server waits for ever inside one step. Its
HTTP threads go on answering: ``/health`` says ok, ``/slots`` and ``/metrics`` answer at once, but their
numbers stand still. So the signal is: a slot is processing, and neither the slots' counters nor the bytes
through the tunnels move.

How long that may last depends on the step. One token takes as long as the last one took. A prefill computes
up to 512 tokens in one step, without a byte on the wire while a single stage computes. Where membership
suspects a stage's worker, 5 s are enough in any case; where it holds the worker dead, 2.5 s are.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Final

PATIENCE: Final = 5.0  # seconds without progress while tokens are generated, or while a worker is suspected
GONE_PATIENCE: Final = 2.5  # while a stage's worker is held dead
STEPS: Final = 20.0  # or so many times the longest token of this answer
PREFILL_PATIENCE: Final = 60.0
LONGEST_GAP: Final = 7.0  # between samples (4.5 s if an answer does not come); longer: this process paused
LOAD_PATIENCE: Final = 120.0  # without a byte to a worker, a line of log or an answer
PREFILL_TOKENS: Final = 512  # in one step


@dataclass(frozen=True, slots=True)
class EngineSample:
    """What was seen of the engine. ``counters`` is anything that changes with progress."""

    activity: str  # idle, loading, prefill, generating, silent (does not answer)
    counters: Hashable = None
    doubt: bool = False
    gone: bool = False


class Watchdog:
    """Takes samples; says when to give up, and why.

    ``stage_seconds`` is the slowest stage's time for one token.
    """

    def __init__(self, stage_seconds: float = 0.0) -> None:
        self._prefill = max(PREFILL_PATIENCE, PREFILL_TOKENS * stage_seconds)
        self._activity = ""
        self._counters: Hashable = None
        self._since = 0.0  # when something last moved
        self._seen = 0.0
        self._slowest = 0.0

    def see(self, now: float, sighting: EngineSample) -> str | None:
        """The reason to give up, or None. ``now`` in seconds."""
        if now - self._seen > LONGEST_GAP:
            self._since += now - self._seen
        self._seen = now
        moved = sighting.counters != self._counters or sighting.activity != self._activity
        if sighting.activity == "idle" or not self._activity:
            moved = True
            self._slowest = 0.0
        if moved:
            if self._activity == sighting.activity == "generating":
                self._slowest = max(self._slowest, now - self._since)
            self._activity, self._counters, self._since = sighting.activity, sighting.counters, now
            return None
        stood = now - self._since
        if stood < self._patience(sighting):
            return None
        what = {
            "silent": "does not answer",
            "loading": "makes no progress with loading",
            "prefill": "makes no progress with a prompt",
        }.get(sighting.activity, "makes no progress with a token")
        return f"{what} for {stood:.0f} s"

    def _patience(self, sighting: EngineSample) -> float:
        if sighting.gone:
            return GONE_PATIENCE
        if sighting.doubt or sighting.activity == "silent":
            return PATIENCE
        if sighting.activity == "loading":
            return LOAD_PATIENCE
        if sighting.activity == "prefill":
            return self._prefill
        return max(PATIENCE, STEPS * self._slowest)


def read_slots(slots: Any) -> tuple[str, Hashable]:
    """(activity, counters) from the JSON of ``/slots``."""
    busy = [slot for slot in slots if isinstance(slot, dict) and slot.get("is_processing")]
    if not busy:
        return "idle", None
    counters = []
    generating = True
    for slot in busy:
        tokens = slot.get("next_token") or [{}]
        decoded = (tokens[0] if isinstance(tokens, list) else tokens).get("n_decoded", 0)
        generating = generating and decoded > 0
        counters.append((slot.get("id"), slot.get("id_task"), decoded, slot.get("n_prompt_tokens_processed")))
    return ("generating" if generating else "prefill"), tuple(counters)

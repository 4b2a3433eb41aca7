"""What the door answers itself: what a client may know of llama-server, and nothing of others. Pure."""

from typing import Any

from leader.door.askers.limits import Limits
from leader.door.orders import EngineFacts


def own_answer(
    what: str, engine: EngineFacts, limits: Limits | None
) -> dict[str, Any] | list[dict[str, Any]]:
    """The answer of ``/props`` or ``/slots``, in llama-server's shape: the model's name, and limits.

    ``limits`` are those of the member that asks, None where none hold. No path of the leader's is in it, no
    prompt of another client, no work in progress.
    """
    if what == "slots":
        return [{"id": slot, "n_ctx": engine.context} for slot in range(engine.slots)]
    return {
        "default_generation_settings": {"n_ctx": engine.context},
        "total_slots": engine.slots,
        "model_alias": engine.model,
        "limits": None if limits is None else _told(limits),
    }


def _told(limits: Limits) -> dict[str, Any]:
    return {
        "in_flight": limits.in_flight,
        "queued": limits.queued,
        "tokens_per_minute": limits.tokens_per_minute,
    }

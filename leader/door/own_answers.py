"""What the door answers itself: what a client may know of llama-server, and nothing of others. Pure."""

from typing import Any

from leader.door.orders import EngineFacts


def own_answer(what: str, engine: EngineFacts) -> dict[str, Any] | list[dict[str, Any]]:
    """The answer of ``/props`` or ``/slots``, in llama-server's shape: model's name and limits.

    No path of the leader's, no prompt of another client, no work in progress.
    """
    if what == "slots":
        return [{"id": slot, "n_ctx": engine.context} for slot in range(engine.slots)]
    return {
        "default_generation_settings": {"n_ctx": engine.context},
        "total_slots": engine.slots,
        "model_alias": engine.model,
    }

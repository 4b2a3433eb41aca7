"""Which tools a model may or must call. Pure.

llama-server knows no choice of one tool by its name: it takes such a choice for ``auto``. To be called
for certain, a tool must be the only one.
"""

from collections.abc import Collection
from typing import Any

from leader.door.orders import Unacceptable


def only_named(tools: list[dict[str, Any]], names: Collection[str], field: str) -> list[dict[str, Any]]:
    """Return the tools (as chat completions have them) of these names. Raises `Unacceptable`."""
    wanted = set(names)
    left = [tool for tool in tools if tool["function"]["name"] in wanted]
    missing = wanted - {tool["function"]["name"] for tool in left}
    if missing:
        raise Unacceptable(field, f"no function among the tools is called {min(missing)[:64]}")
    return left

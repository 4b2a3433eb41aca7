"""Waiting for what tells nobody of its changes."""

from collections.abc import Callable

import trio

MOCKED_PAUSE = 0.1
"""A pause for a mock clock that jumps only when all is silent: each of them takes a moment."""


async def until(holds: Callable[[], bool], seconds: float = 30.0, pause: float = 0.005) -> None:
    """Look again every ``pause`` seconds until it ``holds``; `trio.TooSlowError` after ``seconds``."""
    with trio.fail_after(seconds):
        while not holds():  # noqa: ASYNC110 - what is looked at tells nobody of its changes
            await trio.sleep(pause)

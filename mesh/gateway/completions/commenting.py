"""Keeps whoever waits for an event stream from taking it for dead, while slow work is done."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

_T = TypeVar("_T")


async def while_commenting(
    work: Callable[[], Awaitable[_T]], comment: Callable[[], Awaitable[None]], every: float
) -> _T:
    """Do the work, and have ``comment`` send something every so many seconds until it is done.

    What has begun to be sent is sent whole. A comment that fails ends the work, and its error is raised.
    """
    results: list[_T] = []
    failures: list[Exception] = []
    done = trio.Event()

    async def comments(scope: trio.CancelScope) -> None:
        try:
            while True:
                with trio.move_on_after(every):
                    await done.wait()
                    return
                await comment()
        except Exception as error:
            failures.append(error)
            scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(comments, nursery.cancel_scope)
        try:
            results.append(await work())
        except Exception as error:
            failures.append(error)
        done.set()
    if failures:
        raise failures[0]
    return results[0]

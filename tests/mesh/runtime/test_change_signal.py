"""The change signal wakes tasks that wait, and does not keep late ones waiting."""

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from mesh.runtime.change_signal import ChangeSignal


async def test_a_waiter_is_woken_by_the_next_change(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    changes = ChangeSignal()
    woken: list[int] = []

    async def wait() -> None:
        woken.append(await changes.wait(0, 100))

    nursery.start_soon(wait)
    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    changes.notify()
    await wait_all_tasks_blocked()
    assert woken == [1, 1]
    assert trio.current_time() < 100


async def test_a_change_that_was_missed_is_told_at_once(autojump_clock: MockClock) -> None:
    changes = ChangeSignal()
    changes.notify()
    changes.notify()
    start = trio.current_time()
    assert await changes.wait(0, 100) == 2
    assert trio.current_time() == start


async def test_without_a_change_the_wait_ends_at_its_limit(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    assert await ChangeSignal().wait(0, 100) == 0
    assert trio.current_time() == start + 100


async def test_what_must_end_when_something_holds_ends_then() -> None:
    changes, holds = ChangeSignal(), False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(changes.cancel_when, nursery.cancel_scope, lambda: holds)
        nursery.start_soon(trio.sleep_forever)
        changes.notify()
        await wait_all_tasks_blocked()
        assert not nursery.cancel_scope.cancel_called
        holds = True
        changes.notify()
    assert nursery.cancel_scope.cancelled_caught

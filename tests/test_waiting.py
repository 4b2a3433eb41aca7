import pytest
import trio
from trio.testing import MockClock

from tests.waiting import until


async def test_it_waits_until_the_condition_holds(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    await until(lambda: trio.current_time() >= began + 5.0, pause=1.0)
    assert trio.current_time() == began + 5.0


async def test_what_never_holds_fails_after_its_time(autojump_clock: MockClock) -> None:
    with pytest.raises(trio.TooSlowError):
        await until(lambda: False, seconds=3.0, pause=1.0)

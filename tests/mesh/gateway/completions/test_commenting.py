import pytest
import trio
from trio.testing import MockClock

from mesh.gateway.completions.commenting import while_commenting


async def test_comments_are_sent_until_the_work_is_done(autojump_clock: MockClock) -> None:
    sent: list[float] = []

    async def comment() -> None:
        sent.append(trio.current_time())

    async def work() -> int:
        await trio.sleep(2.5)
        return 7

    began = trio.current_time()
    assert await while_commenting(work, comment, 1.0) == 7
    assert [at - began for at in sent] == [1.0, 2.0]


async def test_a_comment_that_has_begun_is_sent_whole(autojump_clock: MockClock) -> None:
    whole = False

    async def comment() -> None:
        nonlocal whole
        await trio.sleep(5)
        whole = True

    async def work() -> None:
        await trio.sleep(2)

    await while_commenting(work, comment, 1.0)
    assert whole


async def test_where_nobody_listens_the_work_ends(autojump_clock: MockClock) -> None:
    async def comment() -> None:
        raise EOFError

    with pytest.raises(EOFError), trio.fail_after(60):
        await while_commenting(trio.sleep_forever, comment, 1.0)


async def test_the_works_own_failure_is_passed_on(autojump_clock: MockClock) -> None:
    async def work() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await while_commenting(work, trio.sleep_forever, 1.0)

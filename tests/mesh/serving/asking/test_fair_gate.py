"""Few pass a gate at a time, and who asks much waits for itself alone."""

import pytest
import trio
import trio.testing

from leader.door.slots.turns import MAX_WAITING, TooManyWaiting
from mesh.serving.asking.fair_gate import FairGate


async def test_so_many_pass_at_a_time_in_fair_turns_of_domains() -> None:
    gate, passed, go_on = FairGate(3, kept=1), list[str](), trio.Semaphore(0)

    async def ask(domain: str) -> None:
        async with gate.place(domain):
            passed.append(domain)
            await go_on.acquire()

    async with trio.open_nursery() as nursery:
        for domain in ("anna", "anna", "anna", "bert", "cara"):
            nursery.start_soon(ask, domain)
            await trio.testing.wait_all_tasks_blocked()
        assert passed == ["anna", "anna", "bert"], "one place was kept for others"
        for count in (4, 5, 5, 5, 5):
            go_on.release()
            await trio.testing.wait_all_tasks_blocked()
            assert len(passed) == count
        assert passed[3] == "cara"


async def test_one_that_leaves_gives_its_place_to_the_next() -> None:
    gate = FairGate(1)
    with trio.move_on_after(0.01):
        async with gate.place("anna"), gate.place("anna"):
            pytest.fail("there is one place")
    async with gate.place("bert"):
        pass


async def test_who_may_not_start_waits_and_others_pass() -> None:
    gate, may, begun = FairGate(1), list[bool](), trio.Event()

    async def wait() -> None:
        async with gate.place("anna", lambda: bool(may), begun.set):
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        async with gate.place("bert"):
            pass
        assert not begun.is_set()
        may.append(True)
        gate.deal()
        assert begun.is_set()


async def test_not_all_may_wait() -> None:
    gate = FairGate(0)
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            async with gate.place("anna"):
                pass

        for _ in range(MAX_WAITING):
            nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TooManyWaiting):
            await wait()
        nursery.cancel_scope.cancel()

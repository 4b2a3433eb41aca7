from pathlib import Path

import trio

from mesh.engine.install.locks import exclusive
from tests.mesh.engine.process.processes import start_python

HOLDER = """
import sys, trio
from pathlib import Path
from mesh.engine.install.locks import exclusive
async def main():
    async with exclusive(Path(sys.argv[1]), lambda holder: None):
        print("held", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_one_at_a_time_and_the_others_wait(tmp_path: Path) -> None:
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with exclusive(tmp_path / "deep" / "lock", lambda holder: None):
            inside += 1
            most = max(most, inside)
            await trio.sleep(0.01)
            inside -= 1

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work)
    assert most == 1


async def test_a_holder_is_named_while_it_lives_and_its_death_lets_go(tmp_path: Path) -> None:
    holder = start_python(HOLDER, str(tmp_path / "lock"))
    assert holder.stdout is not None
    named: list[str] = []

    def waiting(process: str) -> None:
        named.append(process)
        holder.kill()

    with holder, holder.stdout:
        await trio.to_thread.run_sync(holder.stdout.readline)
        with trio.fail_after(20):
            async with exclusive(tmp_path / "lock", waiting):
                assert named[0] == str(holder.pid)


async def test_a_wait_can_be_cancelled(tmp_path: Path) -> None:
    async with exclusive(tmp_path / "lock", lambda holder: None):
        with trio.move_on_after(0.05) as scope:
            async with exclusive(tmp_path / "lock", lambda holder: None):
                pass
        assert scope.cancelled_caught

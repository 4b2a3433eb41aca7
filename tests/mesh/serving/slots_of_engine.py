"""A stand-in for llama-server's slots: it knows whose conversation each slot and each file really holds."""

from contextlib import suppress

import trio

from leader.llama.local_http import Connect
from leader.llama.slots import MovedSlot


class StandInEngine:
    """Each request is a domain, a slot and whether to reuse, as text; the answer is one word."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.really: dict[int, str] = {}
        self.files: dict[int, str] = {}
        self.asked: list[str] = []
        self.computing = 0
        self.answers = trio.Event()
        """Until it is set, requests are computed but not answered."""
        self.answers.set()
        self.seconds = 0.0
        self.fails = False
        self._nursery = nursery

    async def connect(self) -> trio.SocketStream:
        """A connection for one request."""
        ours, theirs = trio.socket.socketpair()
        self._nursery.start_soon(self._serve, trio.SocketStream(theirs))
        return trio.SocketStream(ours)

    async def park(self, _connect: Connect, slot: int, place: int) -> MovedSlot | None:
        """Save a slot."""
        self.asked.append(f"park {slot} {place}")
        await trio.sleep(self.seconds)
        if self.fails or slot not in self.really:
            return None
        self.files[place] = self.really[slot]
        return MovedSlot(1000, 1000, 0.001)

    async def unpark(self, _connect: Connect, place: int, slot: int) -> MovedSlot | None:
        """Load a slot."""
        self.asked.append(f"unpark {place} {slot}")
        await trio.sleep(self.seconds)
        if self.fails:
            return None
        self.really[slot] = self.files[place]
        return MovedSlot(1000, 1000, 0.001)

    async def erase(self, _connect: Connect, slot: int) -> bool:
        """Empty a slot."""
        await trio.sleep(self.seconds / 4)
        if not self.fails:
            self.really.pop(slot, None)
        return not self.fails

    async def _serve(self, stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async with stream:
                if not (request := bytes(await stream.receive_some())):
                    return
                domain, slot, reuse = request.decode().split()
                self.computing += 1
                try:
                    await trio.sleep(self.seconds)
                    assert reuse == "False" or self.really[int(slot)] == domain, (
                        "another domain's KV was used"
                    )
                    self.really[int(slot)] = domain
                    await self.answers.wait()
                    await stream.send_all(b"done")
                finally:
                    self.computing -= 1

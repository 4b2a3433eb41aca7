"""Slots of llama-server, handed out in turns: whoever asks waits here, and gets a slot made ready for them.

`SlotTable` says which slot and what is to be parked or loaded first, `Turns` who is next; this performs it.
A slot is handed out again only when llama-server itself is done with it: see `EngineUse`.

Who has a turn must not wait for another one: so there is no deadlock.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from leader.door.slots.slot_content import SlotContent
from leader.door.slots.slot_table import Park, SlotTable, Turn
from leader.door.slots.turns import Turns
from leader.llama.local_http import Connect
from leader.llama.slots import MovedSlot
from mesh.serving.asking.engine_use import EngineUse
from mesh.wire.errors import MeshError


class SlotFiles(Protocol):
    """What `Slots` does with llama-server's slots."""

    async def park(self, connect: Connect, slot: int, place: int) -> MovedSlot | None:
        """Save a slot at a place; None where that failed."""

    async def unpark(self, connect: Connect, place: int, slot: int) -> MovedSlot | None:
        """Load from a place into a slot; None where that failed."""

    async def erase(self, connect: Connect, slot: int) -> bool:
        """Have a slot forget all; False where that failed."""


class SlotsGone(MeshError):
    """llama-server has ended, and its slots with it."""


class SlotTurn(EngineUse):
    """A slot for one answer: put ``slot`` into the body as ``id_slot``, ``reuse`` as ``cache_prompt``.

    Connections are for requests with that slot alone.
    """

    def __init__(
        self,
        turn: Turn,
        holds: bool,
        connect: Connect,
        nursery: trio.Nursery,
        on_over: Callable[["SlotTurn"], None],
    ) -> None:
        super().__init__(connect, nursery, lambda: on_over(self))
        self.turn = turn
        self.slot = turn.slot
        self.reuse = False
        self.has_begun = False
        self.tokens: int | None = None
        self.prefill = 0, 0.0
        self.was_loaded = False
        self.found: int | None = None
        self._holds = holds

    def began(self) -> None:
        """llama-server computes in the slot: its answer's head said 200. Unsaid, nobody reuses the slot."""
        self.has_begun = True
        self.reuse = self.reuse or self._holds

    def used(self, tokens: int | None, found: int, computed: int, seconds: float) -> None:
        """The answer is whole: the slot holds so many tokens (``tokens_cached``, or prompt and answer).

        Say it before its connection is closed: else the slot is free a little later. Of the prompt, so many
        tokens were ``found`` in the slot (``timings.cache_n``), so many ``computed`` (``timings.prompt_n``)
        in so many seconds (``timings.prompt_ms / 1000``).
        """
        self.began()
        self.answered()
        self.tokens = tokens
        self.prefill = computed, seconds
        self.found = found


class _WaitsForSlot:
    def __init__(
        self,
        domain: str,
        beginnings: tuple[int, ...],
        holds: bool,
        may_start: Callable[[], bool],
        on_start: Callable[[], None],
    ) -> None:
        self.domain = domain
        self.beginnings = beginnings
        self.holds = holds
        self.may_start = may_start
        self.on_start = on_start
        self.ready = trio.Event()
        self.got: SlotTurn | None = None


class SlotTurns:
    """Hands out the slots of ``table``, from the beginning of ``run`` to its end.

    Without ``files``, as on a full disk, the table must have no places.
    """

    def __init__(
        self, table: SlotTable, connect: Connect, files: SlotFiles | None, turns: Turns | None = None
    ) -> None:
        self.table = table
        self._connect = connect
        self._files = files
        self._turns = turns or Turns()
        self._queue: dict[int, _WaitsForSlot] = {}
        self._uses: dict[SlotTurn, int] = {}
        self._choices = 0
        self._chosen: set[EngineUse] = set()
        self._slotless: set[EngineUse] = set()
        self._gone = False
        self._nursery: trio.Nursery | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return self._turns.waiting

    @property
    def busy(self) -> int:
        """How many slots are in use, or being parked."""
        return self.table.busy

    def contents(self) -> Mapping[int, SlotContent]:
        """What each idle slot holds, and for whom: to be kept over a move."""
        return self.table.contents()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hand out slots until cancelled; then whoever waits is told that they are gone."""
        try:
            async with trio.open_nursery() as self._nursery:
                self.deal()
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._gone, self._nursery = True, None
            for waiting in self._queue.values():
                waiting.ready.set()
            for use in (*self._uses, *self._chosen, *self._slotless):
                use.over.set()

    @asynccontextmanager
    async def turn(
        self,
        domain: str,
        beginnings: tuple[int, ...],
        *,
        holds: bool = False,
        urgent: bool = False,
        may_start: Callable[[], bool] = lambda: True,
        on_start: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[SlotTurn]:
        """A slot, when it is this request's turn, for the time of the ``async with``.

        ``holds``: several requests will follow each other, each going on with what the last one left; for
        them ``reuse`` becomes true when the first has begun. ``urgent`` ones go before the others; none goes
        while it may not start (call `deal` when that may have changed). ``on_start`` is called as soon as it
        is this one's turn, before the next is looked for. Raises `TooManyWaiting`, `SlotsGone`.
        """
        ticket = self._turns.arrive(domain, urgent)
        waiting = self._queue[ticket] = _WaitsForSlot(domain, beginnings, holds, may_start, on_start)
        try:
            self.deal()
            if not self._gone:
                await waiting.ready.wait()
            if self._gone or waiting.got is None:
                raise SlotsGone("llama-server has ended", "ask again")
            yield waiting.got
        finally:
            del self._queue[ticket]
            if waiting.got is None:
                self._turns.leave(ticket)
            else:
                waiting.got.end()

    @asynccontextmanager
    async def engine_choice(self) -> AsyncIterator[EngineUse]:
        """For a request whose slot llama-server chooses, and which may so come upon anybody's conversation.

        It waits for the turns that reuse what is in their slots; those that follow meanwhile do not.
        """
        self._choices += 1
        self.table.engine_picks()
        use = None
        try:
            for before in tuple(self._uses):
                await before.over.wait()
            if self._gone or self._nursery is None:
                raise SlotsGone("llama-server has ended", "ask again")
            use = EngineUse(self._connect, self._nursery, self._engine_picked)
            self._chosen.add(use)
            yield use
        finally:
            if use is None:
                self._engine_picked()
            else:
                use.end()

    @asynccontextmanager
    async def without_slot(self) -> AsyncIterator[EngineUse]:
        """For a request that needs no slot. It ends when llama-server is done, whenever its client leaves.

        Else whoever hangs up and asks again could have it read any number of texts at a time.
        """
        if self._nursery is None:
            raise SlotsGone("llama-server has ended", "ask again")
        use = EngineUse(self._connect, self._nursery, lambda: None)
        self._slotless.add(use)
        try:
            yield use
        finally:
            use.end()
            with trio.CancelScope(shield=True):
                await use.over.wait()
            self._slotless.discard(use)

    def _engine_picked(self) -> None:
        self._chosen = {use for use in self._chosen if not use.over.is_set()}
        self._choices -= 1
        self.table.engine_picked()
        self.deal()

    def deal(self) -> None:
        """Hand out idle slots to those whose turn it is."""
        nursery = self._nursery
        while nursery is not None and (ticket := self._turns.next(self._barred())) is not None:
            now, waiting = trio.current_time(), self._queue[ticket]
            turn = self.table.take(now, waiting.domain, waiting.beginnings)
            if turn is None:
                return
            self._turns.start(now, ticket)
            waiting.on_start()
            waiting.got = use = SlotTurn(turn, waiting.holds, self._connect, nursery, self._over)
            self._uses[use] = ticket
            use.more()
            is_ready = turn.park is None and turn.restore is None and self.table.reuses(turn)
            if self._files is None or is_ready:
                self._hand_over(waiting, use)
            else:
                nursery.start_soon(self._prepare, waiting, use, self._files)

    def _barred(self) -> set[int]:
        """Those who may not start, or who could not go on with what they left.

        The latter while llama-server puts anything anywhere.
        """
        return {
            ticket
            for ticket, waiting in self._queue.items()
            if (waiting.holds and self._choices) or not waiting.may_start()
        }

    async def _prepare(self, waiting: _WaitsForSlot, use: SlotTurn, files: SlotFiles) -> None:
        """Park and load, or erase what is another's; also to the end for one who has left meanwhile."""
        turn = use.turn
        if turn.park is not None:
            await self._save(turn.park, files)
        if turn.restore is not None:
            moved = await files.unpark(self._connect, turn.restore, turn.slot)
            if moved is None:
                self.table.not_loaded(turn)
            else:
                self.table.loaded(turn, *moved)
                use.was_loaded = True
        if not self.table.reuses(turn) and await files.erase(self._connect, turn.slot):
            self.table.erased(turn)
        self._hand_over(waiting, use)

    def _hand_over(self, waiting: _WaitsForSlot, use: SlotTurn) -> None:
        use.reuse = self.table.reuses(use.turn)
        waiting.ready.set()
        use.done()

    def _over(self, use: SlotTurn) -> None:
        """A turn has ended, and llama-server is done with it."""
        self._turns.leave(self._uses.pop(use))
        if use.has_begun:
            self.table.cost.saw_prefill(*use.prefill)
            if use.was_loaded and use.found is not None:
                self.table.cost.saw_use(use.found)
            self.table.release(trio.current_time(), use.turn, use.tokens)
        elif use.has_asked:
            self.table.unsure(use.turn)
        else:
            self.table.put_back(use.turn)
        self.deal()
        self._park_ahead()

    def _park_ahead(self) -> None:
        if self._nursery is not None and self._files is not None and not self.waiting:
            park = self.table.park_ahead(trio.current_time())
            if park is not None:
                self._nursery.start_soon(self._save_ahead, park, self._files)

    async def _save_ahead(self, park: Park, files: SlotFiles) -> None:
        await self._save(park, files)
        self.table.parked_ahead(park)
        self.deal()

    async def _save(self, park: Park, files: SlotFiles) -> None:
        moved = await files.park(self._connect, park.slot, park.place)
        if moved is None:
            self.table.not_saved(park)
        else:
            self.table.saved(trio.current_time(), park, *moved)

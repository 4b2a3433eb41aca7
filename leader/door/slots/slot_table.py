"""Which slot of llama-server computes a request, so that a slot's KV cache serves no other domain. Pure.

A slot is handed out for a domain, used, and released; between, it is busy. What it holds then is that
domain's: whoever comes next from another domain must not reuse it (``cache_prompt: false``). What a slot
holds can be parked, saved to a file at a *place*, before it is taken for something else; a parked file is
loaded for its own domain alone.

Who performs this tells the table what became of it::

    turn = table.take(now, domain, beginnings)
    turn.park:     save it, then  table.saved(now, turn.park, ...) or table.not_saved(turn.park)
    turn.restore:  load it, then  table.loaded(turn, ...) or table.not_loaded(turn)
    compute, reusing what the slot holds if  table.reuses(turn)  (else erase it:  table.erased(turn))
    at the end     table.release(now, turn, tokens), or table.unsure(turn) if perhaps nothing was computed,
                   or table.put_back(turn) if nothing was even asked
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leader.door.slots.parked_slots import ParkedSlots
from leader.door.slots.parking_cost import ParkingCost
from leader.door.slots.slot_content import TOKENS_PER_BEGINNING, SlotContent, held_by_domain

CONTENTION_SECONDS: Final = 300.0
"""So long after a slot was taken from a conversation, idle slots are parked ahead of time."""


@dataclass(frozen=True, slots=True)
class Park:
    """Save what this slot holds at that place."""

    slot: int
    place: int
    content: SlotContent


@dataclass(frozen=True, slots=True)
class Turn:
    """A slot, handed out for ``wanted``: first park what it holds, if so told, then load from a place."""

    slot: int
    wanted: SlotContent
    park: Park | None = None
    restore: int | None = None


@dataclass(slots=True)
class _Slot:
    content: SlotContent | None = None  # None: empty, or nobody's
    used: float = -math.inf
    busy: bool = False
    touched: bool = False  # perhaps, by a request whose slot llama-server chose

    @property
    def holds(self) -> bool:
        """Whether there is anything to lose: shorter prompts than one beginning are as good as none."""
        return self.content is not None and bool(self.content.beginnings)


class SlotTable:
    """``count`` slots and so many ``places``; ``held`` is what slots hold at the beginning, by number."""

    def __init__(
        self,
        count: int,
        places: int = 0,
        cost: ParkingCost | None = None,
        held: Mapping[int, SlotContent] | None = None,
    ) -> None:
        self.cost = cost or ParkingCost()
        self._slots = [_Slot((held or {}).get(number)) for number in range(count)]
        self._parked = ParkedSlots(places)
        self._choices = 0
        self._contended = -math.inf

    @property
    def busy(self) -> int:
        """How many slots are handed out, or being parked."""
        return sum(slot.busy for slot in self._slots)

    def contents(self) -> Mapping[int, SlotContent]:
        """What each idle slot holds; nobody's are left out."""
        return {
            number: slot.content
            for number, slot in enumerate(self._slots)
            if slot.content is not None and not slot.busy
        }

    def domains(self) -> Mapping[int, str]:
        """Whose conversation each idle slot holds; nobody's are left out."""
        return {number: content.domain for number, content in self.contents().items()}

    def parked(self) -> Mapping[int, SlotContent]:
        """What lies at each place."""
        return self._parked.contents()

    def take(self, now: float, domain: str, beginnings: tuple[int, ...]) -> Turn | None:
        """Hand out an idle slot; None where there is none."""
        if self.busy == len(self._slots):
            return None
        wanted = SlotContent(domain, beginnings)
        own, number = self._own(wanted), self._victim()
        restore = self._restorable(wanted, 0 if own is None else self._common(own, wanted))
        if restore is None and own is not None and (self._keeps(own, wanted) or self._slots[number].holds):
            number = own
        slot, park = self._slots[number], None
        if slot.holds and (restore is not None or not self._keeps(number, wanted)):
            self._contended = now
            park = self._park(number, restore)
        if restore is not None:
            self._parked.loading(now, restore)
        slot.busy = True
        return Turn(number, wanted, park, restore)

    def reuses(self, turn: Turn) -> bool:
        """Whether llama-server may go on with what is in the turn's slot: it is the same domain's."""
        content = self._slots[turn.slot].content
        return content is not None and content.domain == turn.wanted.domain

    def release(self, now: float, turn: Turn, tokens: int | None = None) -> None:
        """The turn was computed, and is over in llama-server too. ``tokens`` are in the slot, if known."""
        slot, wanted = self._slots[turn.slot], turn.wanted
        known = len(wanted.beginnings) * TOKENS_PER_BEGINNING if tokens is None else tokens
        slot.content = SlotContent(wanted.domain, wanted.beginnings, known)
        slot.used = now
        self._rest(slot)

    def unsure(self, turn: Turn) -> None:
        """The turn is over, and nobody knows whether it was begun: a refused one leaves all as it was.

        So what was another domain's may still be there, and is nobody's from now on.
        """
        slot = self._slots[turn.slot]
        if not self.reuses(turn):
            slot.content = None
        self._rest(slot)

    def put_back(self, turn: Turn) -> None:
        """The turn is over, and nothing was asked of llama-server: the slot holds what it held."""
        self._rest(self._slots[turn.slot])

    def saved(self, now: float, park: Park, tokens: int, size: int, seconds: float) -> None:
        """The file is written. It is the domain's from now on."""
        self.cost.saw_file(tokens, size, seconds)
        content = SlotContent(park.content.domain, park.content.beginnings, tokens)
        self._parked.saved(now, park.place, None if self._slots[park.slot].touched else content)

    def not_saved(self, park: Park) -> None:
        """The file could not be written, and holds nothing."""
        self._parked.saved(0, park.place, None)

    def loaded(self, turn: Turn, tokens: int, size: int, seconds: float) -> None:
        """The turn's file was loaded into its slot."""
        assert turn.restore is not None
        self.cost.saw_file(tokens, size, seconds)
        self._slots[turn.slot].content = self._parked.loaded(turn.restore)

    def not_loaded(self, turn: Turn) -> None:
        """The file could not be loaded: it is given up, and what the slot holds is nobody's."""
        assert turn.restore is not None
        self._parked.not_loaded(turn.restore)
        self._slots[turn.slot].content = None

    def erased(self, turn: Turn) -> None:
        """The turn's slot holds nothing any more."""
        self._slots[turn.slot].content = None

    def park_ahead(self, now: float) -> Park | None:
        """The slot that will be taken next, to be saved while it is idle: then nobody waits for that.

        Only where slots have been taken from conversations of late. `parked_ahead` ends it.
        """
        contended = now - self._contended <= CONTENTION_SECONDS
        if not contended or self._parked.being_written or self.busy == len(self._slots):
            return None
        number = self._victim()
        park = self._park(number, ahead=True)
        if park is not None:
            self._slots[number].busy = True
        return park

    def parked_ahead(self, park: Park) -> None:
        """The slot that ``park_ahead`` took is idle again, saved or not."""
        self._rest(self._slots[park.slot])

    def engine_picks(self) -> None:
        """A request begins whose slot llama-server chooses: until it is over, nothing in any slot is sure.

        The turns handed out before must be over before it is sent; those handed out later do not reuse.
        """
        self._choices += 1
        for slot in self._slots:
            slot.touched = True
            if not slot.busy:
                slot.content = None

    def engine_picked(self) -> None:
        """It is over. What was handed out meanwhile is nobody's when it is released."""
        self._choices -= 1
        for slot in self._slots:
            slot.touched = slot.busy or self._choices > 0

    def _rest(self, slot: _Slot) -> None:
        slot.busy = False
        if slot.touched:
            slot.content = None
        slot.touched = self._choices > 0

    def _idle(self) -> list[int]:
        return [number for number, slot in enumerate(self._slots) if not slot.busy]

    def _victim(self) -> int:
        """The idle slot that is missed least: one with nothing to lose, or the least recently used.

        That is one of the domain that has most of them: who begins ever new conversations loses their own.
        """
        held = held_by_domain(slot.content for slot in self._slots if slot.content is not None)

        def claim(number: int) -> tuple[float, float]:
            slot = self._slots[number]
            many = held[slot.content.domain] if slot.content is not None and slot.holds else math.inf
            return -many, slot.used

        return min(self._idle(), key=claim)

    def _own(self, wanted: SlotContent) -> int | None:
        """The idle slot that has most in common with what is wanted; None where none has anything."""
        matching = [number for number in self._idle() if self._common(number, wanted)]
        return max(
            matching,
            key=lambda number: (self._common(number, wanted), self._slots[number].used),
            default=None,
        )

    def _common(self, number: int, wanted: SlotContent) -> int:
        content = self._slots[number].content
        return 0 if content is None else content.common(wanted)

    def _keeps(self, number: int, wanted: SlotContent) -> bool:
        """Whether most of what the slot holds is still there when the wanted is computed in it."""
        content = self._slots[number].content
        return content is not None and content.is_mostly_in(wanted)

    def _restorable(self, wanted: SlotContent, had: int) -> int | None:
        """The place of a file with more in common than ``had``, if to load it costs less than it spares."""
        if self._choices or (found := self._parked.best(wanted)) is None:
            return None
        place, content = found
        spared = content.tokens * (content.common(wanted) - had) // len(content.beginnings)
        return place if self.cost.is_worth(content.tokens, spared) else None

    def _park(self, number: int, restored: int | None = None, ahead: bool = False) -> Park | None:
        """Reserve a place for what a slot holds, if that is worth it; not over what is ``restored``."""
        slot = self._slots[number]
        content = slot.content
        if content is None or not slot.holds or self._choices:
            return None
        unsaved = content.tokens - self._parked.tokens_of_copies(content)
        if not self.cost.is_worth(content.tokens, unsaved):
            return None
        others = [content for other, content in self.contents().items() if other != number]
        place = self._parked.reserve(content, others, restored, may_lose=not ahead)
        return None if place is None else Park(number, place, content)

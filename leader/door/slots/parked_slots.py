"""The slots that were saved to files to make room: what lies where, for whom, and what gives way. Pure.

A file is its domain's for ever: no other finds it. Files are written over when the places are full: first
copies of what slots hold as well, then of the domain that has most of them the longest unused.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from leader.door.slots.slot_content import SlotContent, held_by_domain


@dataclass(slots=True)
class _File:
    content: SlotContent
    used: float
    loads: int = 0  # in progress: until they are over it is not written over


class ParkedSlots:
    """Files at ``places`` places, numbered from 0."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._files: dict[int, _File] = {}
        self._written: set[int] = set()

    @property
    def being_written(self) -> bool:
        """Whether a slot is being saved at present."""
        return bool(self._written)

    def contents(self) -> dict[int, SlotContent]:
        """What lies at each place that holds something."""
        return {place: file.content for place, file in self._files.items()}

    def best(self, wanted: SlotContent) -> tuple[int, SlotContent] | None:
        """Place and content of the file that has most in common with what is wanted, if any has."""
        matching = {
            place: (file.content.common(wanted), file.used)
            for place, file in self._files.items()
            if file.content.common(wanted)
        }
        if not matching:
            return None
        place = max(matching, key=lambda place: matching[place])
        return place, self._files[place].content

    def tokens_of_copies(self, content: SlotContent) -> int:
        """How many tokens of this conversation the longest file of it has."""
        copies = [file.content.tokens for place, file in self._files.items() if self._is_of(place, content)]
        return max(copies, default=0)

    def reserve(
        self,
        content: SlotContent,
        live: Iterable[SlotContent] = (),
        spared: int | None = None,
        may_lose: bool = True,
    ) -> int | None:
        """The place where ``content`` is to be saved, and which holds nothing until that is done.

        ``live`` is what other slots hold. Not ``spared``, nor one that is being loaded, nor, unless it
        ``may_lose`` them, the only file of a conversation; None where there is no other.
        """
        usable = [place for place, file in self._files.items() if not file.loads and place != spared]
        copies = [place for place in usable if self._is_of(place, content)]
        free = sorted(set(range(self._places)) - self._files.keys() - self._written)
        doubled = [place for place in usable if any(self._is_of(place, one) for one in live)]
        candidates = copies or free[:1] or doubled or (usable if may_lose else [])
        held = held_by_domain(file.content for file in self._files.values())

        def claim(place: int) -> tuple[float, float]:
            file = self._files.get(place)
            return (-held[file.content.domain], file.used) if file else (-math.inf, 0)

        place = min(candidates, key=claim, default=None)
        if place is not None:
            self._files.pop(place, None)
            self._written.add(place)
        return place

    def saved(self, now: float, place: int, content: SlotContent | None) -> None:
        """What was reserved is written; None if it could not be, or must not be used."""
        self._written.remove(place)
        if content is not None:
            self._files[place] = _File(content, now)

    def loading(self, now: float, place: int) -> None:
        """The file is about to be loaded."""
        self._files[place].used = now
        self._files[place].loads += 1

    def loaded(self, place: int) -> SlotContent:
        """The file has been loaded; it stays."""
        self._files[place].loads -= 1
        return self._files[place].content

    def not_loaded(self, place: int) -> None:
        """The file could not be loaded: it is given up."""
        file = self._files[place]
        file.loads -= 1
        if not file.loads:
            del self._files[place]

    def _is_of(self, place: int, content: SlotContent) -> bool:
        return content.goes_on_with(self._files[place].content)

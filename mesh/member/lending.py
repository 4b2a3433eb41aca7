"""What this machine lends of its devices: decided once the engine has told them, and kept for the stay."""

import logging

import trio

from mesh.control.operations import Problem
from mesh.engine.backends.cpu import CPU
from mesh.engine.devices import processor_alone
from mesh.runtime.engine_keeper import EngineKeeper
from mesh.wire.amounts import size_text
from mesh.wire.errors import MeshError
from worker.hardware import MachineMemory, measure
from worker.memory_option import MemoryOption
from worker.offers import Offers, offers

log = logging.getLogger(__name__)


class Lending:
    """Call `measure` first, and again for what is free by now."""

    def __init__(self, keeper: EngineKeeper, option: MemoryOption | None, works: bool) -> None:
        """``option`` is a person's word on the memory. One that does not ``work`` says nothing of it."""
        self.memory = MachineMemory(0, 0)
        self.problem: Problem | None = None
        """Why nothing is lent, though it should be."""
        self._keeper = keeper
        self._option = option
        self._works = works
        self._decided: Offers | None = None
        self._expected = Offers()

    @property
    def is_decided(self) -> bool:
        """Whether the engine has told its devices, and with that what is lent."""
        return self._decided is not None

    @property
    def offers(self) -> Offers:
        """What this machine has to lend; before that is decided, what it would if the processor computes."""
        return self._expected if self._decided is None else self._decided

    async def measure(self) -> None:
        """Measure the machine's memory."""
        self.memory = await trio.to_thread.run_sync(measure)
        self.look()

    def look(self) -> None:
        """Decide, once the devices are known."""
        if self._decided is not None:
            return
        if self._keeper.devices:
            self._decided = self._decide()
        else:
            self._expected = self._expect()

    def _decide(self) -> Offers:
        try:
            decided = offers(self._keeper.devices, self.memory, self._option)
        except MeshError as error:
            if not self._works:
                return Offers()
            log.error("nothing is lent: %s; %s", error.message, error.hint)
            self.problem = {
                "code": "memory_refused",
                "member": None,
                "message": f"this machine lends nothing: {error.message}",
                "hint": error.hint,
            }
            return Offers()
        if self._works:
            for offer in decided.lent:
                log.info("%s (%s) lends %s", offer.name, offer.description, size_text(offer.offered))
            for note in decided.notes:
                log.info("%s", note)
        return decided

    def _expect(self) -> Offers:
        backend = self._keeper.backend
        if backend.kind != CPU.name:
            return Offers()
        try:
            return offers(processor_alone(backend.name), self.memory, self._option)
        except MeshError:
            return Offers()  # which is said when the devices are known

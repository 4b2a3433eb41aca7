"""What the protocol asks to have persisted, also while the disk is full.

A promise that is not on the disk must not be known to anybody, for after a crash it would not be kept. So
while one is owed the node keeps silent, as if its cable were cut, and writes again every second; the process
and what it serves live on, until the others hold it dead. Vouchers and deployments are no promises: the
others have them too.
"""

import logging
from collections.abc import Callable

from mesh.wire.errors import MeshError

log = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
NOT_OWED = frozenset({"vouchers", "deployment"})


class DurabilityGate:
    """Writes by ``persist``, which raises MeshError when it cannot; keeps what could not be written."""

    def __init__(self, persist: Callable[[str, bytes], None]) -> None:
        self.trouble: MeshError | None = None
        """Why something is owed to the disk; None while nothing is."""

        self._persist = persist
        self._owed: dict[str, bytes] = {}
        self._again_at = 0.0

    @property
    def fenced(self) -> bool:
        """Whether a promise is owed, so that nothing may leave this machine."""
        return not self._owed.keys() <= NOT_OWED

    def write(self, now: float, key: str, value: bytes) -> None:
        """On the disk when this returns, or owed to it."""
        self._owed[key] = value
        self._write_all(now)

    def settle(self, now: float) -> None:
        """Write what is owed, if it is time to try again."""
        if self._owed and now >= self._again_at:
            self._write_all(now)

    def _write_all(self, now: float) -> None:
        try:
            for key in list(self._owed):
                self._persist(key, self._owed[key])
                del self._owed[key]
        except MeshError as error:
            if self.trouble is None:
                log.error("%s", error)
            self.trouble, self._again_at = error, now + AGAIN_SECONDS
            return
        if self.trouble is not None:
            log.info("the disk takes what was owed to it")
            self.trouble = None

"""The durability gate: what the protocol asks to have persisted, also while the disk is full.

No other node may hear of a durable write before it is on the disk, for a crash would undo it. So while the
disk owes one the node is fenced: it stays silent, as if its cable were cut, and retries every second. The
process and what it serves live on, until the others consider it dead. Vouchers and deployments do not fence:
the others have them too.
"""

import logging
from collections.abc import Callable

from mesh.wire.errors import MeshError

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
NOT_FENCING = frozenset({"vouchers", "deployment"})


class DurabilityGate:
    """Writes by ``persist``, which raises MeshError when it cannot; keeps failed writes and retries them."""

    def __init__(self, persist: Callable[[str, bytes], None]) -> None:
        self.trouble: MeshError | None = None
        """Why the disk owes a write; None while it owes none."""

        self._persist = persist
        self._failed_writes: dict[str, bytes] = {}
        self._retry_at = 0.0

    @property
    def fenced(self) -> bool:
        """Whether the disk owes a durable write, so that nothing may leave this machine."""
        return not self._failed_writes.keys() <= NOT_FENCING

    def write(self, now: float, key: str, value: bytes) -> None:
        """Write now; on failure keep the value for a retry."""
        self._failed_writes[key] = value
        self._write_all(now)

    def settle(self, now: float) -> None:
        """Retry the failed writes, if it is time to."""
        if self._failed_writes and now >= self._retry_at:
            self._write_all(now)

    def _write_all(self, now: float) -> None:
        try:
            for key in list(self._failed_writes):
                self._persist(key, self._failed_writes[key])
                del self._failed_writes[key]
        except MeshError as error:
            if self.trouble is None:
                log.error("%s", error)
            self.trouble, self._retry_at = error, now + RETRY_SECONDS
            return
        if self.trouble is not None:
            log.info("the disk has taken the failed writes")
            self.trouble = None

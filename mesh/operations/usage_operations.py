"""What members asked, for `mesh members`."""

from typing import cast

from mesh.control.operations import Asked, NoArgs, UsageResult
from mesh.operations.home import EmitEvent, Home, joined_pool
from mesh.operations.usage_stream import leaders_counts


class UsageOperations:
    """Asks the leader, whether that is this machine or another."""

    def __init__(self, home: Home) -> None:
        self._home = home

    async def usage(self, args: NoArgs, emit: EmitEvent) -> UsageResult:
        counts = await leaders_counts(joined_pool(self._home))
        if counts is None:
            return {"asked": None}
        return {"asked": {id: cast(Asked, one._asdict()) for id, one in counts.items()}}
